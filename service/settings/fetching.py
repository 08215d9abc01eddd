"""The settings of `mistral-api fetch`. Secrets have variables only: the arguments of a process can be read by others."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from service.errors import SettingError
from service.settings.kinds import JSONL, LOG_LEVEL
from service.settings.option import declared_options, option, spelled
from service.settings.reading import read_own
from service.settings.showing import WIDTH, help_lines
from service.settings.values import FLAG, Kind, choice, number, path, text, whole

WHAT, HOW, LOG, COMMAND = "What and where", "How", "Log", "This command"

HUB = "https://huggingface.co"
SOURCE_VARIABLE = "MISTRAL_API_FETCH_SOURCE"
SIGNATURE = re.compile(r"[?&](X-Amz-Signature|X-Goog-Signature|Signature|sig)=", re.IGNORECASE)
"""In the query of an address that is a key by itself: S3's and its relatives', Google's, CloudFront's, Azure's."""
USER = re.compile(r"^\w+://[^/?#]*@")

USAGE = """\
usage: mistral-api fetch SOURCE --to FOLDER_OR_FILE.gguf [options]

Leaves a model on this machine, whole and verified, and prints the path of its (first) file. What is there and known is not
read again, what was begun is resumed. SOURCE is one of
  hf://OWNER/REPO/FILE@REVISION     a file on the Hugging Face hub (@main where no revision is given)
  s3://BUCKET/KEY                   an object in S3 or what speaks like it
  https://…  http://…               any server, also a presigned address
Of a split model (…-00001-of-00003.gguf) every part is fetched.
"""

SECRETS = """\
Secrets are variables only: HF_TOKEN for hf://; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN for s3://;
MISTRAL_API_FETCH_TOKEN for the bearer token of https://; MISTRAL_API_FETCH_SOURCE for an address that holds a password or a signature.
HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY are honoured. docs/fetch.md says more, and what the exit codes mean.
"""


def _read_sums(given: str) -> tuple[str, ...]:
    sums = tuple(word.strip().lower().removeprefix("sha256:") for word in given.split(","))
    if not all(re.fullmatch("[0-9a-f]{64}", word) for word in sums):
        raise ValueError(given)
    return sums


SUMS = Kind(_read_sums, "64 hexadecimal digits, with commas between several", "SHA256")
SECONDS = number(above=0)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the environment alone may hold."""

    hub_token: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Credentials:
        """Raises SettingError where half of a key pair is missing."""
        access, secret = (environment.get(name, "").strip() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        if bool(access) != bool(secret):
            missing = "AWS_SECRET_ACCESS_KEY" if access else "AWS_ACCESS_KEY_ID"
            raise SettingError(missing, "", "a value beside the other half of the key")
        return cls(
            hub_token=(environment.get("HF_TOKEN") or environment.get("HUGGING_FACE_HUB_TOKEN") or "").strip(),
            bearer_token=environment.get("MISTRAL_API_FETCH_TOKEN", "").strip(),
            access_key=access,
            secret_key=secret,
            session_token=environment.get("AWS_SESSION_TOKEN", "").strip(),
        )


@dataclass(frozen=True, kw_only=True)
class FetchSettings:
    """All settings of the command, read once."""

    source: str = option(
        "", WHAT, "Where the model is.", spelled("SOURCE", SOURCE_VARIABLE, text("an address", "hf://…|s3://…|https://…")), secret=True,
    )  # fmt: skip
    to: Path | None = option(
        None, WHAT, "A folder, made where it is missing, or a file: a path that ends in .gguf.",
        spelled("--to", "MISTRAL_API_FETCH_TO", path("a folder, or a path that ends in .gguf", "PATH")),
    )  # fmt: skip
    sha256: tuple[str, ...] = option(
        (), WHAT, "The file's sha256; for a split model once for each part, in order.",
        spelled("--sha256", "MISTRAL_API_FETCH_SHA256", SUMS), repeats=True, shown_default="the hub's own for hf://",
    )  # fmt: skip
    offline: bool = option(
        False, HOW, "Ask nobody: take what is there and known, or fail.", spelled("--offline", "MISTRAL_API_FETCH_OFFLINE", FLAG),
    )  # fmt: skip
    retries: int = option(
        10, HOW, "How often in a row a try may bring nothing new.", spelled("--retries", "MISTRAL_API_FETCH_RETRIES", whole(0)),
    )  # fmt: skip
    retry_delay: float = option(
        1.0, HOW, "Seconds before the first new try; they double up to a minute.",
        spelled("--retry-delay", "MISTRAL_API_FETCH_RETRY_DELAY", SECONDS),
    )  # fmt: skip
    timeout: float = option(
        60.0, HOW, "Seconds without a byte until a connection counts as lost.",
        spelled("--timeout", "MISTRAL_API_FETCH_TIMEOUT", SECONDS),
    )  # fmt: skip
    ca_file: Path | None = option(
        None, HOW, "A file of certificates to trust beside the system's and certifi's.",
        spelled("--ca-file", "MISTRAL_API_FETCH_CA_FILE", path("a file of certificates")), spelled("", "SSL_CERT_FILE", path("a file")),
        spelled("", "REQUESTS_CA_BUNDLE", path("a file")), spelled("", "AWS_CA_BUNDLE", path("a file")),
    )  # fmt: skip
    hf_endpoint: str = option(
        HUB, HOW, "The hub, or a mirror of it.", spelled("--hf-endpoint", "HF_ENDPOINT", text("an address", "URL")),
    )  # fmt: skip
    s3_endpoint: str = option(
        "", HOW, "A server that speaks S3.", spelled("--s3-endpoint", "AWS_ENDPOINT_URL_S3", text("an address", "URL")),
        spelled("", "AWS_ENDPOINT_URL", text("an address", "URL")), shown_default="Amazon's",
    )  # fmt: skip
    s3_region: str = option(
        "us-east-1", HOW, "The bucket's region.", spelled("--s3-region", "AWS_REGION", text("a region", "REGION")),
        spelled("", "AWS_DEFAULT_REGION", text("a region", "REGION")),
    )  # fmt: skip
    log_every: float = option(
        10.0, LOG, "Seconds between two lines about how far it is.", spelled("--log-every", "MISTRAL_API_FETCH_LOG_EVERY", SECONDS),
    )  # fmt: skip
    log_format: str = option(
        "auto", LOG, "JSON lines, or lines for people; auto is console on a terminal.",
        spelled("--log-format", "MISTRAL_API_LOG_FORMAT", choice("auto", "json", "console")),
        spelled("", "LLAMA_ARG_LOG_JSONL", JSONL),
    )  # fmt: skip
    log_level: str = option(
        "info", LOG, "What is logged: this and what is worse.", spelled("--log-level", "MISTRAL_API_LOG_LEVEL", LOG_LEVEL),
    )  # fmt: skip
    help: bool = option(False, COMMAND, "Print this and end.", spelled("-h --help", "", FLAG))
    credentials: Credentials = Credentials()

    @classmethod
    def from_arguments(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> FetchSettings:
        """Reads what stands behind `fetch`, and the variables. Raises SettingError."""
        found = read_own({name: declared for name, declared, _ in declared_options(cls)}, arguments, environment)
        settings = cls(**found.values, credentials=Credentials.from_environment(environment))
        if settings.help:
            return settings
        if found.given_by.get("source") == "SOURCE" and (
            USER.search(settings.source) or SIGNATURE.search(settings.source)
        ):
            raise SettingError(
                "SOURCE", "***", f"an address with a password or a signature in {SOURCE_VARIABLE}, not here"
            )
        if not settings.source:
            raise SettingError("SOURCE", "", "where the model is: hf://…, s3://…, https://…")
        if settings.to is None:
            raise SettingError("--to", "", "a folder, or a path that ends in .gguf")
        return settings


def fetch_help() -> str:
    """What `mistral-api fetch --help` prints."""
    lines = [USAGE]
    for group, options in groupby(declared_options(FetchSettings), key=lambda entry: entry[1].group):
        lines.append(f"{group}:")
        for _, declared, default in options:
            lines.extend(help_lines(declared, default))
        lines.append("")
    return "\n".join([*lines, *textwrap.wrap(SECRETS, WIDTH, break_long_words=False), ""])
