"""The error of an image that is refused before it is decoded."""


class RefusedError(Exception):
    """Says why an image must not be decoded, without naming it."""
