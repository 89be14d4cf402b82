"""What `--html FILE` asks of the machine, in the commands that have it."""

from pathlib import Path


def check_page(page: Path) -> None:
    """Look at what a page needs, before any image is read.

    Raises:
        UnavailableError: a package is missing.
        UsageError: its place is a folder.
    """
    import importlib.util

    from exporters.core.errors import UnavailableError, UsageError

    missing = [name for name in ("jinja2", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"--html needs {' and '.join(missing)}",
            remedy="pip install 'tmkd-pipeline[cpu]', or do without the page.",
        )
    if page.is_dir():
        raise UsageError(f"--html {page}: a folder", remedy="Give the name of a file, such as page.html.")
