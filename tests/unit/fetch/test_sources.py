"""What each kind of source is: its address, its name, what may be shown of it."""

from __future__ import annotations

import pytest
from huggingface_hub import constants, hf_hub_url

from service.errors import SettingError
from service.fetch.looking import HUB_COMMIT, HUB_SIZE, HUB_SUM
from service.fetch.sources import Source, at_commit, find_sources, hub_url
from service.settings.fetching import HUB, FetchSettings

COMMIT = "ab810cf68114990406fdf996510dd3d3c6adbdf5"


def sources(text: str, **environment: str) -> tuple[Source, ...]:
    given = environment | {"MISTRAL_API_FETCH_SOURCE": text}
    return find_sources(FetchSettings.from_arguments(["--to", "x"], given))


def only(text: str, **environment: str) -> Source:
    (source,) = sources(text, **environment)
    return source


@pytest.mark.parametrize("file", ["a.gguf", "sub/folder/a b+c.gguf"])
@pytest.mark.parametrize("revision", ["main", COMMIT, "refs/pr/1"])
def test_addresses_of_the_hub_are_those_of_its_own_library(file: str, revision: str) -> None:
    assert hub_url(HUB, "Owner/Repo", file, revision) == hf_hub_url("Owner/Repo", file, revision=revision)
    mirror = "https://mirror.example/hub"
    assert hub_url(f"{mirror}/", "Owner/Repo", file, revision) == hf_hub_url(
        "Owner/Repo", file, revision=revision, endpoint=mirror
    )


def test_headers_of_the_hub_are_those_of_its_own_library() -> None:
    theirs = (
        constants.HUGGINGFACE_HEADER_X_REPO_COMMIT,
        constants.HUGGINGFACE_HEADER_X_LINKED_ETAG,
        constants.HUGGINGFACE_HEADER_X_LINKED_SIZE,
    )
    assert tuple(name.lower() for name in theirs) == (HUB_COMMIT, HUB_SUM, HUB_SIZE)


def test_a_file_on_the_hub_is_named_by_its_last_part_and_main_is_the_revision() -> None:
    source = only("hf://Owner/Repo/sub/a@b.gguf@v1.0")
    assert (source.file_name, source.shown, source.fixed) == ("a@b.gguf", "hf://Owner/Repo/sub/a@b.gguf@v1.0", False)
    assert only("hf://Owner/Repo/a.gguf").url == f"{HUB}/Owner/Repo/resolve/main/a.gguf"


def test_a_commit_is_fixed_and_a_branch_is_not() -> None:
    assert only(f"hf://Owner/Repo/a.gguf@{COMMIT}").pinned
    assert not only("hf://Owner/Repo/a.gguf").pinned
    assert only("https://host/a.gguf", MISTRAL_API_FETCH_SHA256="0" * 64).pinned


def test_a_commit_replaces_the_revision_in_the_address_alone() -> None:
    source = only("hf://Owner/resolve/a.gguf", HF_ENDPOINT="https://host/hub")
    assert at_commit(source, COMMIT).url == f"https://host/hub/Owner/resolve/resolve/{COMMIT}/a.gguf"
    assert at_commit(source, COMMIT).identity == source.identity
    assert at_commit(source, "") == source


@pytest.mark.parametrize(
    ("text", "environment", "url"),
    [
        ("s3://bucket/a/b c+.gguf", {}, "https://bucket.s3.us-east-1.amazonaws.com/a/b%20c%2B.gguf"),
        ("s3://bucket/a.gguf", {"AWS_REGION": "eu-west-3"}, "https://bucket.s3.eu-west-3.amazonaws.com/a.gguf"),
        ("s3://my.bucket/a.gguf", {"AWS_DEFAULT_REGION": "r"}, "https://s3.r.amazonaws.com/my.bucket/a.gguf"),
        ("s3://bucket/a.gguf", {"AWS_ENDPOINT_URL": "http://minio:9000/"}, "http://minio:9000/bucket/a.gguf"),
        ("s3://b/a.gguf", {"AWS_ENDPOINT_URL": "http://x", "AWS_ENDPOINT_URL_S3": "http://y"}, "http://y/b/a.gguf"),
        ("s3://b/a.gguf?versionId=7", {"AWS_ENDPOINT_URL": "http://x"}, "http://x/b/a.gguf?versionId=7"),
    ],
)
def test_addresses_of_s3(text: str, environment: dict[str, str], url: str) -> None:
    if " " in text:
        text = text.replace(" ", "_")
        url = url.replace("%20", "_")
    assert only(text, **environment).url == url


def test_the_same_key_in_another_store_is_another_source() -> None:
    first, second = only("s3://b/a.gguf"), only("s3://b/a.gguf", AWS_ENDPOINT_URL="http://x")
    assert first.identity != second.identity


def test_of_an_address_neither_password_nor_query_is_shown() -> None:
    source = only("https://user:pass%20word@host:8443/m/a%20b.gguf?X-Amz-Signature=secret#part")
    assert source.url == "https://host:8443/m/a%20b.gguf?X-Amz-Signature=secret"
    assert source.basic == ("user", "pass word")
    assert source.file_name == "a b.gguf"
    assert "secret" not in repr(source)
    assert "word" not in repr(source)
    assert source.shown == "https://host:8443/m/a%20b.gguf"


def test_every_part_of_a_split_model_is_a_source_in_order() -> None:
    parts = sources("hf://Owner/Repo/q4/big-00003-of-00012.gguf@v1")
    assert [part.file_name for part in parts] == [f"big-{number:05d}-of-00012.gguf" for number in range(1, 13)]
    assert parts[11].url == f"{HUB}/Owner/Repo/resolve/v1/q4/big-00012-of-00012.gguf"
    assert sources("https://h/big-00001-of-00002.gguf?x=1")[1].url == "https://h/big-00002-of-00002.gguf?x=1"


@pytest.mark.parametrize(
    "text",
    [
        "", "a.gguf", "/models/a.gguf", "ftp://host/a.gguf", "hf://", "hf://Owner/Repo", "hf://Owner/Repo/", "hf://Owner/Repo/../a.gguf",
        "hf://Owner/Repo/a.gguf@", "s3://bucket", "s3://bucket/", "s3://bucket/folder/", "https://host", "https://host/", "https:///a.gguf",
        "https://host/..", "https://host/a%00.gguf", "https://host/a b.gguf", "https://host:port/a.gguf",
        "https://host/a-00003-of-00002.gguf", "https://host/a-00000-of-00000.gguf", "https://host/a-00001-of-00002.gguf?Signature=x",
    ],
)  # fmt: skip
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="SOURCE"):
        sources(text)


def test_there_are_as_many_sums_as_files() -> None:
    first, second = "1" * 64, "2" * 64
    parts = sources("https://h/a-00001-of-00002.gguf", MISTRAL_API_FETCH_SHA256=f"{first},{second}")
    assert [part.sha256 for part in parts] == [first, second]
    with pytest.raises(SettingError, match="--sha256"):
        sources("https://h/a-00001-of-00002.gguf", MISTRAL_API_FETCH_SHA256=first)
    with pytest.raises(SettingError, match="--sha256"):
        sources("https://h/a.gguf", MISTRAL_API_FETCH_SHA256=f"{first},{second}")
