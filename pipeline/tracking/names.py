"""Names that every tracker takes."""

import re

from exporters.core.files import sha256_bytes

_OTHERS = re.compile(r"[^\w.\- /]+")


def figure_name(*parts: str) -> str:
    """`distill/loss` of `("distill", "loss")`: letters, digits, `_`, `-`, `.`, spaces and slashes, as MLflow asks.

    Where another character had to go, a few digits of the name's hash follow, so that no two names become one.
    """
    return _cleaned("/".join(parts), _OTHERS)


def file_name(text: str) -> str:
    """The text as the name of one file or folder: no slash, no leading dot."""
    return _cleaned(text, re.compile(r"[^\w.\- ]+")).lstrip(". ") or "run"


def project_name(text: str) -> str:
    r"""The text as the name of a project at Weights & Biases, which refuses `/\#?%:`."""
    return _cleaned(text, re.compile(r"[/\\#?%:]+"))


def _cleaned(text: str, others: re.Pattern[str]) -> str:
    # Empty, `.` and `..` would be steps within a path.
    parts = [part.strip() if part.strip(" .") else f"_{part.strip()}" for part in others.sub("_", text).split("/")]
    clean = "/".join(parts)
    return clean if clean == text else f"{clean}-{sha256_bytes(text.encode())[:6]}"
