"""Errors of requests: a status and a JSON body, `{"error": message}`."""


class RequestError(Exception):
    """Ends a request with a status and a message.

    Args:
        status: an HTTP status of 400 or more.
        message: for the client; never contains paths of the server.
        retry_after: seconds, if a retry makes sense.
        close: close the connection after the answer, without reading the rest of the request.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None, close: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers: dict[str, str] = {}
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        if close:
            self.headers["Connection"] = "close"


def error_body(message: str) -> bytes:
    """The JSON body of an error response."""
    from pydantic_core import to_json  # not at the top: decoders have no use for it

    return to_json({"error": message})
