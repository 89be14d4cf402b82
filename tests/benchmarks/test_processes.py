import subprocess
import sys

from benchmarks.processes import cpu_seconds, own_bytes, resident_bytes, tree

_CHILD = "import sys; held = bytearray(b'x') * 50_000_000; print(len(held), flush=True); sys.stdin.read()"
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_CHILD!r}])"


def test_memory_and_time_of_children_count() -> None:
    process = subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(tree(process.pid)) == 2
        assert 50_000_000 < own_bytes(process.pid) < 100_000_000
        assert resident_bytes(process.pid) > own_bytes(process.pid)
        assert cpu_seconds(process.pid) > 0
    finally:
        process.communicate(b"")
    assert tree(process.pid) == [] and own_bytes(process.pid) == 0
