"""The command: settings, log, engine, app, server."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence

import structlog

from service import __version__
from service.errors import SettingError, StartError
from service.settings import Settings
from service.settings.showing import check_text, help_text
from service.telemetry.logs import logging_to

log: structlog.stdlib.BoundLogger = structlog.get_logger("start")


def main() -> None:
    """The entry point of `mistral-api` and of `python -m service`."""
    code = run(sys.argv[1:], os.environ)
    if any(thread.name == "engine" for thread in threading.enumerate()):
        # llama.cpp still loads and cannot be stopped; it must not meet the interpreter's end.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Does what the command line says; the exit code."""
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]](arguments[1:], environment)
    try:
        settings = Settings.from_arguments(arguments, environment)
    except SettingError as error:
        sys.stderr.write(f"mistral-api: {error}\n")
        return error.code
    text = _asked_text(settings)
    if text:
        sys.stdout.write(text)
        return 0
    with logging_to(settings.log_format, settings.log_level):
        for note in settings.notes:
            log.info(note)
        try:
            return _serve(settings)
        except StartError as error:
            log.error(str(error))
            return error.code


def _fetch(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    from service.fetch.command import run_fetch
    from service.settings.fetching import FetchSettings, fetch_help

    try:
        settings = FetchSettings.from_arguments(arguments, environment)
    except SettingError as error:
        sys.stderr.write(f"mistral-api fetch: {error}\n")
        return error.code
    if settings.help:
        sys.stdout.write(fetch_help())
        return 0
    with logging_to(settings.log_format, settings.log_level):
        return run_fetch(settings)


def _health(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    from service.asking import ask, served_arguments

    try:
        unwell = ask(arguments or served_arguments(), environment)
    except SettingError as error:
        unwell = str(error)
    if unwell:
        sys.stderr.write(f"mistral-api: {unwell}\n")
    return 1 if unwell else 0


COMMANDS = {"fetch": _fetch, "health": _health}


def _asked_text(settings: Settings) -> str:
    if settings.help:
        return help_text()
    if settings.version:
        return f"mistral-api {__version__}\nllama.cpp {_llama_cpp_version()}\n"
    return check_text(settings) if settings.check else ""


def _llama_cpp_version() -> str:
    # Imported here and below: --help and a wrong setting need neither llama.cpp nor a web server, and shall not wait for them.
    from service.engine.llama.library import build_name, library_folder

    return build_name(library_folder())


def _serve(settings: Settings) -> int:
    from service.app import create_app
    from service.listening import close_sockets, open_sockets
    from service.server import serve
    from service.telemetry.metrics import Metrics
    from service.wiring import build_engine

    sockets = open_sockets(settings)
    try:
        metrics = Metrics()
        engine = build_engine(settings, metrics)
        return serve(create_app(settings, engine, metrics), engine, settings, sockets)
    finally:
        close_sockets(sockets)


if __name__ == "__main__":
    main()
