"""Memory that was freed and that the C library keeps for later, given back to the system."""

import ctypes
import sys


def give_back_freed_memory() -> None:
    """Give back whole pages of freed memory; do nothing where the C library is not glibc.

    Before processes are forked: freed pages would be theirs too, and when this process writes to them again, each such
    page exists twice.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
