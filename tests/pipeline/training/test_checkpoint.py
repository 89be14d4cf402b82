import os
import random
from pathlib import Path

import pytest
import torch

from pipeline.training.checkpoint import Checkpoint

STATE = {
    "module": {"weight": torch.arange(300.0), "count": torch.tensor(3)},
    "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    "random_state": torch.arange(16, dtype=torch.uint8),
    "history": [{"epoch": 1, "loss": 0.5}],
    "nothing": None,
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(tmp_path / "folder" / "checkpoint.pt", "one")


def equal(one: object, two: object) -> bool:
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    return one == two


def test_saved_state_is_loaded(checkpoint: Checkpoint):
    assert checkpoint.load() is None
    checkpoint.save(STATE)
    assert equal(checkpoint.load(), STATE)
    checkpoint.save(STATE | {"nothing": 1})
    assert equal(checkpoint.load(), STATE | {"nothing": 1})
    assert list(checkpoint.path.parent.iterdir()) == [checkpoint.path]
    checkpoint.remove()
    assert checkpoint.load() is None
    checkpoint.remove()


def test_a_checkpoint_of_another_job_is_not_used(checkpoint: Checkpoint):
    checkpoint.save(STATE)
    assert Checkpoint(checkpoint.path, "two").load() is None
    torch.save(STATE, checkpoint.path)
    assert checkpoint.load() is None
    torch.save([1, 2], checkpoint.path)
    assert checkpoint.load() is None


def test_a_write_that_fails_leaves_the_one_before(checkpoint: Checkpoint):
    checkpoint.save(STATE)
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save({"module": lambda: None})
    assert equal(checkpoint.load(), STATE)
    assert list(checkpoint.path.parent.iterdir()) == [checkpoint.path]


def test_truncated_file_is_ignored(checkpoint: Checkpoint):
    checkpoint.save(STATE)
    content = checkpoint.path.read_bytes()
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        checkpoint.path.write_bytes(content[:length])
        assert checkpoint.load() is None, length


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_flipped_bit_is_found_or_harmless(checkpoint: Checkpoint):
    checkpoint.save(STATE)
    content = checkpoint.path.read_bytes()
    draws = random.Random(0)
    found = 0
    for _ in range(400):
        damaged = bytearray(content)
        damaged[draws.randrange(len(damaged))] ^= 1 << draws.randrange(8)
        checkpoint.path.write_bytes(damaged)
        loaded = checkpoint.load()  # raises nothing, whatever the damage
        assert loaded is None or equal(loaded, STATE)
        found += loaded is None
    assert found > 100


def test_a_flipped_bit_in_a_weight_is_found(checkpoint: Checkpoint):
    checkpoint.save(STATE)
    content = bytearray(checkpoint.path.read_bytes())
    place = content.index(torch.arange(300.0).numpy().tobytes())
    content[place + 401] ^= 4
    checkpoint.path.write_bytes(content)
    assert checkpoint.load() is None


class Planted:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_no_object_is_unpickled(checkpoint: Checkpoint, tmp_path: Path):
    checkpoint.save({"module": Planted(tmp_path / "trace")})
    assert checkpoint.load() is None
    assert not (tmp_path / "trace").exists()
