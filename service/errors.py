"""Every failure that the service knows by name.

    ServiceError                     the base; never raised itself
    |-- InvalidRequest               400  a field is wrong: names it, its limit and the value that came
    |   |-- ContextExceeded          400  the prompt alone does not fit into the context
    |   `-- NotServed                400  a field that clients know and this server does not serve
    |-- InvalidApiKey                401
    |-- NotFound                     404  no such path, no such model
    |-- MethodNotAllowed             405
    |-- BodyTooLarge                 413
    |-- QueueFull                    429  come back after `retry_after` seconds
    |-- RequestFailed                500  this request's own rows could not be computed; others go on
    |-- InternalError                500  a bug of ours
    |-- NotSupported                 501  an endpoint that an option must open
    |-- DeadlineExceeded             504  not done in the time that the client gave it
    `-- Unavailable                  503
        |-- ModelLoading             503  not yet
        |-- Draining                 503  not any more
        |-- EngineDead               503  the loop has ended; only a restart helps
        `-- EngineStuck              503  the loop has ended no step for far too long
    StartError                       ends the start, with one line and `code`
    |-- SettingError                 a setting is wrong: its name, its value, what would be right
    |-- ModelLoadError               the model cannot be served: its path and why
    `-- FetchError                   `mistral-api fetch` leaves no model; each kind has an exit code of its own
        |-- SourceRefused            3  the source says no: missing, forbidden, gone
        |-- SourceUnreachable        4  the source cannot be reached, or its answers bring nothing any more
        |-- WrongContent             5  what came is not what was promised: sha256, size, no GGUF
        `-- NoRoom                   6  the folder has no room, or cannot be written

No class knows HTTP: `status` is a hint that the web room takes over (as h11 does), `kind` is llama-server's error type and
`label` names the class in metrics and logs.
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """What a client is told. `message` is for people, `param` is the field that caused it, `extra` joins the error object."""

    status: ClassVar[int]
    kind: ClassVar[str]
    label: ClassVar[str]

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        extra: dict[str, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.extra = extra or {}


class InvalidRequest(ServiceError):
    """The request can never succeed as it is."""

    status, kind, label = 400, "invalid_request_error", "invalid_request"


class ContextExceeded(InvalidRequest):
    """The prompt is longer than the context. The words are those that llama-server's and OpenAI's clients look for."""

    status, kind, label = 400, "exceed_context_size_error", "context_exceeded"

    def __init__(self, prompt_tokens: int, context: int, param: str | None = None) -> None:
        super().__init__(
            f"request ({prompt_tokens} tokens) exceeds the available context size ({context} tokens), try increasing it. "
            f"This model's maximum context length is {context} tokens (context_length_exceeded).",
            param=param,
            extra={"n_prompt_tokens": prompt_tokens, "n_ctx": context},
        )


class NotServed(InvalidRequest):
    """A field that clients of this field's servers send and that would change the answer, but is not served here."""

    status, kind, label = 400, "invalid_request_error", "not_served"


class InvalidApiKey(ServiceError):
    """No key, or one that is not ours."""

    status, kind, label = 401, "authentication_error", "invalid_api_key"


class NotFound(ServiceError):
    """Nothing stands at this path, or no model has this name."""

    status, kind, label = 404, "not_found_error", "not_found"


class MethodNotAllowed(ServiceError):
    """The path is there, the method is not."""

    status, kind, label = 405, "invalid_request_error", "method_not_allowed"


class BodyTooLarge(ServiceError):
    """The body is over the limit of `--max-body-size`."""

    status, kind, label = 413, "invalid_request_error", "body_too_large"


class QueueFull(ServiceError):
    """As many requests wait as may wait; `retry_after` says when to come back."""

    status, kind, label = 429, "overloaded_error", "queue_full"


class RequestFailed(ServiceError):
    """The model could not compute this request's rows."""

    status, kind, label = 500, "server_error", "request_failed"


class InternalError(ServiceError):
    """A bug of ours; the log has its traceback, the client has the request id."""

    status, kind, label = 500, "server_error", "internal"


class NotSupported(ServiceError):
    """The endpoint is there, but the settings have not switched it on."""

    status, kind, label = 501, "not_supported_error", "not_supported"


class DeadlineExceeded(ServiceError):
    """The request's own deadline came before its end; what was generated until then has been sent."""

    status, kind, label = 504, "timeout_error", "deadline_exceeded"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the request was not done within its deadline of {seconds:g} seconds", param="timeout")


class Unavailable(ServiceError):
    """The service cannot take requests now."""

    status, kind, label = 503, "unavailable_error", "unavailable"


class ModelLoading(Unavailable):
    """The model is still being read. `progress` runs from 0 to 1."""

    status, kind, label = 503, "unavailable_error", "loading"

    def __init__(self, progress: float) -> None:
        super().__init__("Loading model", retry_after=5)
        self.progress = progress


class Draining(Unavailable):
    """The service is going away and takes nothing new."""

    status, kind, label = 503, "unavailable_error", "draining"


class EngineDead(Unavailable):
    """The engine's loop has ended with an error. Nothing will be served until a restart."""

    status, kind, label = 503, "unavailable_error", "engine_dead"


class EngineStuck(Unavailable):
    """The engine's loop lives, but the step it is at takes many times as long as any should. Should that step end, all is well."""

    status, kind, label = 503, "unavailable_error", "engine_stuck"


class StartError(Exception):
    """Ends the start. The text is one line that says what to do; `code` is the exit code."""

    code: ClassVar[int] = 1


class SettingError(StartError):
    """A setting cannot be used. Names it as the user wrote it."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"{name}: {value!r} cannot be used; expected {expected}")
        self.name = name


class ModelLoadError(StartError):
    """The model file cannot be served."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot load the model {path}: {reason}")
        self.path = path


class FetchError(StartError):
    """No model was fetched. Names the source without its secrets."""


class SourceRefused(FetchError):
    """The source will say the same again: there is no such file, or not for us."""

    code = 3


class SourceUnreachable(FetchError):
    """The source does not answer, or no try brings anything new. A later start goes on where this one ended."""

    code = 4


class WrongContent(FetchError):
    """What came is not the file that was asked for."""

    code = 5


class NoRoom(FetchError):
    """The file cannot be written: no room, no right to write, no folder."""

    code = 6
