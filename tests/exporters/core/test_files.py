import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.files import (
    atomic_directory,
    atomic_path,
    create_text,
    dump_json,
    read_json,
    sha256_bytes,
    sha256_file,
    write_bytes,
    write_json,
    write_text,
)

REPOSITORY = Path(__file__).resolve().parents[3]


def test_sha256_matches_the_standard(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1.
    assert sha256_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == sha256_bytes(b"abc")


@settings(deadline=None, max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_comes_back_and_is_one_text_for_one_value(value: Any) -> None:
    assert json.loads(dump_json(value)) == value
    if isinstance(value, dict):
        assert dump_json(dict(reversed(value.items()))) == dump_json(value)


def test_values_that_json_cannot_hold_are_refused(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "x.json", {"loss": value})
    assert list(tmp_path.iterdir()) == []


def test_files_are_written_whole_with_their_folders(tmp_path: Path) -> None:
    write_bytes(tmp_path / "new" / "deep" / "a.bin", b"\0\1")
    assert (tmp_path / "new" / "deep" / "a.bin").read_bytes() == b"\0\1"
    write_text(tmp_path / "ä.txt", "Ærø\r\n")
    assert (tmp_path / "ä.txt").read_bytes() == "Ærø\r\n".encode()
    write_json(tmp_path / "x.json", {"b": 1, "a": "ä"})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": "ä",\n  "b": 1\n}\n'
    assert read_json(tmp_path / "x.json") == {"a": "ä", "b": 1}


def test_until_the_block_ends_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".safetensors" and temporary.name.startswith(".")
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]


def test_until_the_block_ends_the_old_folder_stands(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    for text in ("first", "second"):
        with atomic_directory(path) as temporary:
            assert temporary.parent == tmp_path and temporary.name.startswith(".")
            (temporary / text).write_text(text)
            assert path.exists() is (text == "second")
        assert [p.name for p in path.iterdir()] == [text]
    with pytest.raises(RuntimeError), atomic_directory(path) as temporary:
        (temporary / "half").write_text("")
        raise RuntimeError
    assert [p.name for p in tmp_path.rglob("*")] == ["bundle", "second"]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_files_and_folders_have_the_usual_permissions(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "file", "")
        with atomic_directory(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(b"0" * 4_000_000)
    code = (
        "import sys\nfrom pathlib import Path\nfrom exporters.core.files import write_bytes\n"
        "print('ready', flush=True)\n"
        "number = 0\n"
        "while True:\n"
        "    number = (number + 1) % 10\n"
        "    write_bytes(Path(sys.argv[1]), str(number).encode() * 4_000_000)\n"
    )
    seen = set()
    for attempt in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(path)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.03 + 0.013 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        content = path.read_bytes()
        assert len(content) == 4_000_000 and content == content[:1] * 4_000_000
        seen.add(content[:1])
    assert seen != {b"0"}


def test_text_is_created_once(tmp_path: Path) -> None:
    create_text(tmp_path / "below" / "a.yaml", "first\n")
    with pytest.raises(FileExistsError):
        create_text(tmp_path / "below" / "a.yaml", "second\n")
    assert [(path.name, path.read_text()) for path in (tmp_path / "below").iterdir()] == [("a.yaml", "first\n")]
