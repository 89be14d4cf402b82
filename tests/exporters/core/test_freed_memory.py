import subprocess
import sys

import pytest

from exporters.core import freed_memory

CODE = """
import ctypes, os
from exporters.core.freed_memory import give_back_freed_memory

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]

def held():
    lines = open("/proc/self/smaps_rollup").readlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous")) / 1024

before = held()
blocks = [library.malloc(65_536) for _ in range(3200)]
for block in blocks:
    ctypes.memset(block, 1, 65_536)
for block in blocks[:-1]:  # the last one stands at the end of the heap, which cannot be cut off below it
    library.free(block)
kept = held() - before
give_back_freed_memory()
print(kept, held() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(__import__("ctypes").CDLL(None), "malloc_trim"), reason="glibc"
)
def test_freed_memory_goes_back_to_the_system() -> None:
    finished = subprocess.run([sys.executable, "-c", CODE], check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    kept, left = map(float, finished.stdout.split())
    assert kept > 150 and left < 50  # MiB, of 200


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda _name: pytest.fail("there is no such library"))
    freed_memory.give_back_freed_memory()
