import io
import tarfile
from pathlib import Path

from exporters.core.files import sha256_bytes


def test_archive_does_not_depend_on_modes(tmp_path: Path) -> None:
    from exporters.bundle.archive import write_tar

    folder = tmp_path / "x"
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "c").write_bytes(b"1")
    (folder / "a").write_bytes(b"2")
    write_tar(folder, tmp_path / "x.tar")
    first = (tmp_path / "x.tar").read_bytes()
    (folder / "a").chmod(0o600)
    write_tar(folder, tmp_path / "x.tar")
    assert sha256_bytes((tmp_path / "x.tar").read_bytes()) == sha256_bytes(first)
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert archive.getnames() == ["x", "x/a", "x/b", "x/b/c"]
