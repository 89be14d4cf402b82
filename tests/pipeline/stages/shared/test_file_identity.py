"""Files outside of a run directory are known by what they say."""

from pathlib import Path

from exporters.core.files import sha256_file
from pipeline.stages.shared.file_identity import weights_file


def test_weight_files_are_identified_by_content(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"abc")
    assert weights_file(str(tmp_path / "w.pt")) == {"w.pt": sha256_file(tmp_path / "w.pt")}
    assert weights_file("imagenet") == weights_file(str(tmp_path)) == weights_file("") == {}
