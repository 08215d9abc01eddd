"""The hub, S3, redirects, proxies, certificates: against a server that plays them."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from service.errors import SettingError, SourceRefused, SourceUnreachable, WrongContent
from service.fetch.client import trust
from service.settings.fetching import FetchSettings
from tests.component.fetch.conftest import Fetching
from tests.support.file_server import Answer, FileServer, Seen, file_server, gguf, sha256

CONTENT = gguf(300_000)
COMMIT = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
FILE = "/Quant/Model-GGUF/resolve/{}/sub/tiny.gguf"


def hub(server: FileServer, content: bytes = CONTENT, told: bytes | None = None) -> None:
    """A file on a hub: its own answers have the commit and the sha256."""
    words = {
        "X-Repo-Commit": COMMIT,
        "X-Linked-Etag": f'"{sha256(content if told is None else told)}"',
        "X-Linked-Size": str(len(content)),
    }
    for revision in ("main", "refs%2Fpr%2F1", COMMIT):
        server.serve(FILE.format(revision), content).to_head = words


def test_the_hubs_sha256_and_commit_are_taken(server: FileServer, fetching: Fetching) -> None:
    hub(server)
    path = fetching("hf://Quant/Model-GGUF/sub/tiny.gguf", HF_ENDPOINT=server.url(), HF_TOKEN="hf_x")
    assert path.read_bytes() == CONTENT
    told = json.loads(path.with_name("tiny.gguf.json").read_text())
    assert (told["commit"], told["sha256"]) == (COMMIT, sha256(CONTENT))
    assert fetching.said("fetched")[0]["verified"] is True
    # What is downloaded is the commit that was looked at, whatever becomes of the branch.
    assert server.downloads[0].path == FILE.format(COMMIT)
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer hf_x"}


def test_all_parts_of_a_split_model_are_of_one_commit(server: FileServer, fetching: Fetching) -> None:
    for number in (1, 2):
        for revision in ("main", COMMIT):
            path = f"/Quant/Model-GGUF/resolve/{revision}/big-0000{number}-of-00002.gguf"
            server.serve(path, CONTENT).to_head = {"X-Repo-Commit": COMMIT}
    fetching("hf://Quant/Model-GGUF/big-00001-of-00002.gguf", HF_ENDPOINT=server.url())
    assert [request.path for request in server.requests if "/main/" in request.path] == [
        "/Quant/Model-GGUF/resolve/main/big-00001-of-00002.gguf"
    ]


def test_a_revision_may_have_slashes(server: FileServer, fetching: Fetching) -> None:
    hub(server)
    fetching("hf://Quant/Model-GGUF/sub/tiny.gguf@refs/pr/1", HF_ENDPOINT=server.url())
    assert server.requests[0].path == FILE.format("refs%2Fpr%2F1")


def test_a_file_at_a_commit_is_known_for_ever(server: FileServer, fetching: Fetching) -> None:
    hub(server)
    source = f"hf://Quant/Model-GGUF/sub/tiny.gguf@{COMMIT}"
    fetching(source, HF_ENDPOINT=server.url())
    fetching(source, HF_ENDPOINT="http://127.0.0.1:9")


def test_bytes_that_are_not_what_the_hub_promised_are_not_published(server: FileServer, fetching: Fetching) -> None:
    hub(server, told=b"another")
    with pytest.raises(WrongContent, match=sha256(b"another")):
        fetching("hf://Quant/Model-GGUF/sub/tiny.gguf", HF_ENDPOINT=server.url())
    assert not (fetching.folder / "tiny.gguf").exists()


def test_a_sha256_that_is_not_the_hubs_is_said_before_the_download(server: FileServer, fetching: Fetching) -> None:
    hub(server)
    with pytest.raises(WrongContent, match="the hub says"):
        fetching("hf://Quant/Model-GGUF/sub/tiny.gguf", "--sha256", "0" * 64, HF_ENDPOINT=server.url())
    assert not server.downloads


def test_a_mirror_that_says_nothing_of_its_own_is_a_plain_server(server: FileServer, fetching: Fetching) -> None:
    server.serve(FILE.format("main"), CONTENT)
    fetching("hf://Quant/Model-GGUF/sub/tiny.gguf", HF_ENDPOINT=server.url())
    assert fetching.said("fetched")[0]["verified"] is False


def test_a_repository_that_is_not_ours_to_read_says_what_is_missing(server: FileServer, fetching: Fetching) -> None:
    hub(server)
    gated = Answer(status=401, headers={"X-Error-Code": "GatedRepo"})
    server.files[FILE.format(COMMIT)].looks.extend([gated, gated])
    with pytest.raises(SourceRefused, match=r"401 \(GatedRepo\); it needs HF_TOKEN"):
        fetching("hf://Quant/Model-GGUF/sub/tiny.gguf", HF_ENDPOINT=server.url())
    with pytest.raises(SourceRefused, match="HF_TOKEN may not read it"):
        fetching("hf://Quant/Model-GGUF/sub/tiny.gguf", HF_ENDPOINT=server.url(), HF_TOKEN="hf_x")


@pytest.mark.parametrize("token", [{"HF_TOKEN": "hf_x"}, {"MISTRAL_API_FETCH_TOKEN": "t"}])
def test_a_redirect_to_another_host_takes_no_credentials_along(
    server: FileServer, fetching: Fetching, token: dict[str, str]
) -> None:
    with file_server() as store:
        store.serve("/blob", CONTENT)
        away = Answer(status=302, headers={"Location": store.url("/blob?X-Amz-Signature=s")})
        for revision in ("main", COMMIT):
            path = FILE.format(revision)
            served = server.serve(path, CONTENT)
            served.looks.append(away)
            served.always = away
        store.files["/blob"].answers.append(Answer(cut=100_000))
        source = "hf://Quant/Model-GGUF/sub/tiny.gguf" if "HF_TOKEN" in token else server.url(FILE.format("main"))
        assert fetching(source, HF_ENDPOINT=server.url(), **token).read_bytes() == CONTENT
        assert len(store.downloads) == 2
        assert all("authorization" not in request.headers for request in store.requests)
        assert all("authorization" in request.headers for request in server.requests)
        # Each try begins where the address is from: the store's own run out.
        assert len(server.downloads) == 2


def test_a_redirect_within_the_host_keeps_them(server: FileServer, fetching: Fetching) -> None:
    server.serve("/new.gguf", CONTENT)
    served = server.serve("/tiny.gguf", CONTENT)
    served.looks.append(Answer(status=307, headers={"Location": "/new.gguf"}))
    served.always = Answer(status=307, headers={"Location": "/new.gguf"})
    fetching(server.url("/tiny.gguf"), MISTRAL_API_FETCH_TOKEN="t")
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer t"}


@pytest.mark.parametrize(
    ("place", "words"), [("/tiny.gguf", "more than 10 redirects"), ("file:///etc/passwd", "to file://")]
)
def test_redirects_that_lead_nowhere_are_refused(
    server: FileServer, fetching: Fetching, place: str, words: str
) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.looks.extend([Answer(status=302, headers={"Location": place})] * 20)
    with pytest.raises(SourceRefused, match=words):
        fetching(server.url("/tiny.gguf"))


def expected_signature(seen: Seen, secret: str) -> str:
    """AWS Signature Version 4 of a request (Amazon S3 API Reference, "Authenticating Requests"), from what came over the wire."""
    credential, signed, _ = (part.partition("=")[2] for part in seen.headers["authorization"].split(", "))
    date, region, service, last = credential.split("/")[1:]
    names = signed.split(";")
    path, _, query = seen.path.partition("?")
    canonical = [seen.method, path, query, *(f"{name}:{seen.headers[name]}" for name in names), "", signed]
    canonical.append(seen.headers["x-amz-content-sha256"])
    hashed = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", seen.headers["x-amz-date"], f"{date}/{region}/{service}/{last}", hashed])
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, last):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def test_s3_requests_are_signed_with_the_keys(server: FileServer, fetching: Fetching) -> None:
    server.serve("/bucket/some%20folder/ti%2Bny.gguf", CONTENT).answers.append(Answer(cut=100_000))
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalr", "AWS_SESSION_TOKEN": "session"}
    source = "s3://bucket/some%20folder/ti+ny.gguf".replace("%20", "_")
    server.files["/bucket/some_folder/ti%2Bny.gguf"] = server.files.pop("/bucket/some%20folder/ti%2Bny.gguf")
    path = fetching(source, AWS_ENDPOINT_URL=server.url(), AWS_REGION="eu-central-1", **keys)
    assert path.name == "ti+ny.gguf"
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 3
    for seen in server.requests:
        assert f"Signature={expected_signature(seen, 'wJalr')}" in seen.headers["authorization"]
        assert "/eu-central-1/s3/aws4_request" in seen.headers["authorization"]
        assert seen.headers["x-amz-security-token"] == "session"
        assert "host;" in seen.headers["authorization"]


def test_s3_without_keys_asks_as_nobody(server: FileServer, fetching: Fetching) -> None:
    server.serve("/bucket/tiny.gguf", CONTENT)
    fetching("s3://bucket/tiny.gguf", "--s3-endpoint", server.url())
    assert all("authorization" not in request.headers for request in server.requests)


def test_s3_refusals_say_their_code_and_the_right_region(server: FileServer, fetching: Fetching) -> None:
    served = server.serve("/bucket/tiny.gguf", CONTENT)
    denied = b"<Error><Code>AccessDenied</Code><Message>secret words</Message></Error>"
    served.looks.append(Answer(status=403, body=denied))
    with pytest.raises(SourceRefused, match=r"403 \(AccessDenied\); it needs AWS_ACCESS_KEY_ID") as caught:
        fetching("s3://bucket/tiny.gguf", "--s3-endpoint", server.url())
    assert "secret words" not in str(caught.value)
    served.looks.append(Answer(status=301, headers={"x-amz-bucket-region": "eu-west-3"}))
    with pytest.raises(SourceRefused, match="the bucket is in eu-west-3: set AWS_REGION"):
        fetching("s3://bucket/tiny.gguf", "--s3-endpoint", server.url())


def test_a_proxy_of_the_environment_is_gone_through(
    server: FileServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("http://models.invalid/tiny.gguf", CONTENT)
    monkeypatch.setenv("HTTP_PROXY", server.url())
    assert fetching("http://models.invalid/tiny.gguf").read_bytes() == CONTENT
    monkeypatch.setenv("NO_PROXY", "models.invalid")
    (fetching.folder / "tiny.gguf").unlink()
    with pytest.raises(SourceUnreachable):
        fetching("http://models.invalid/tiny.gguf", "--retries", "0")


def test_a_proxy_that_nobody_can_speak_to_is_a_wrong_setting(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://proxy.invalid")
    with pytest.raises(SettingError, match="ALL_PROXY"):
        fetching("http://models.invalid/tiny.gguf")


def test_a_file_of_certificates_that_is_none_is_a_wrong_setting(fetching: Fetching, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(SettingError, match="--ca-file"):
        fetching("https://models.invalid/tiny.gguf", SSL_CERT_FILE=str(tmp_path / "ca.pem"))


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_server(authority: trustme.CA) -> Iterator[FileServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with file_server(context) as running:
        running.serve("/tiny.gguf", CONTENT)
        yield running


def address(server: FileServer) -> str:
    return server.url("/tiny.gguf").replace("http://", "https://")


def test_a_certificate_that_nobody_trusts_is_said_at_once_with_the_way_out(
    tls_server: FileServer, fetching: Fetching
) -> None:
    with pytest.raises(SourceRefused, match=r"127\.0\.0\.1 shows a certificate that nobody here trusts .*--ca-file"):
        fetching(address(tls_server))


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "MISTRAL_API_FETCH_CA_FILE"])
def test_ones_own_authority_is_trusted_beside_the_others(
    tls_server: FileServer, fetching: Fetching, authority: trustme.CA, tmp_path: Path, variable: str
) -> None:
    own = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(own))
    assert fetching(address(tls_server), **{variable: str(own)}).read_bytes() == CONTENT
    both = trust(FetchSettings(ca_file=own)).get_ca_certs()
    assert len(both) > len(trust(FetchSettings()).get_ca_certs()) > 50


def test_a_redirect_out_of_https_is_refused(
    tls_server: FileServer, server: FileServer, fetching: Fetching, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    away = Answer(status=302, headers={"Location": server.url("/tiny.gguf")})
    tls_server.files["/tiny.gguf"].looks.append(away)
    with pytest.raises(SourceRefused, match="redirects from https:// to http://"):
        fetching(address(tls_server), "--ca-file", str(tmp_path / "ca.pem"))
    assert not server.requests
