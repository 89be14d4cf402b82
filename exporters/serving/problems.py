"""What a client did wrong, or what the server cannot do now: one status and one JSON body, `{"error": message}`."""

from pydantic_core import to_json


class RequestError(Exception):
    """Ends a request with a status and a message.

    Args:
        status: an HTTP status of 400 or more.
        message: for the client; holds nothing of the server's file system.
        retry_after: seconds, where trying again makes sense.
        close: end the connection after the answer, since the rest of the request is not worth reading.
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
    """The JSON body of every answer that is an error."""
    return to_json({"error": message})
