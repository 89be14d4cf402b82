import hashlib
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError
from pipeline.models.weight_files import checked_sha256

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "net.pth"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("expected", [None, DIGEST, DIGEST.upper()])
def test_expected_file_is_accepted(weights: Path, expected: str | None):
    assert checked_sha256(weights, expected) == DIGEST


def test_another_file_is_refused_with_both_hashes(weights: Path):
    with pytest.raises(UnavailableError) as caught:
        checked_sha256(weights, "Ab" * 32)
    assert caught.value.exit_code == 4
    for part in ("net.pth", "ab" * 32, DIGEST):
        assert part in caught.value.message
    assert "sha256" in str(caught.value.remedy)
