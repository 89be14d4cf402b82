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
    assert sorted(path.name for path in checkpoint.path.parent.iterdir()) == ["checkpoint.1.pt", "checkpoint.pt"]
    assert equal(torch.load(checkpoint.path, weights_only=True)["state"], STATE | {"nothing": 1})  # a file of PyTorch
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


@pytest.mark.parametrize("keep", [1, 2, 4])
def test_the_newest_are_kept(keep: int, tmp_path: Path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one", keep)
    for number in range(6):
        checkpoint.save({"number": number})
    names = ["checkpoint.pt", *(f"checkpoint.{number}.pt" for number in range(1, keep))]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for number, name in enumerate(names):
        assert torch.load(tmp_path / name, weights_only=True)["state"] == {"number": 5 - number}
    Checkpoint(tmp_path / "checkpoint.pt", "one", 1).save({"number": 6})  # keeps fewer
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_newest_undamaged_one_is_loaded_and_each_damaged_one_named(tmp_path: Path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one", 3)
    for number in range(3):
        checkpoint.save({"number": number})
    said: list[str] = []
    assert checkpoint.load(said.append) == {"number": 2} and not said
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-1])
    (tmp_path / "checkpoint.1.pt").write_bytes(b"")
    assert checkpoint.load(said.append) == {"number": 0}
    (tmp_path / "checkpoint.2.pt").unlink()
    assert checkpoint.load(said.append) is None
    damaged = (
        f"{checkpoint.path} is damaged (its checksum is another); {tmp_path / 'checkpoint.1.pt'} is damaged (it is cut"
        " short): "
    )
    assert said == [
        f"{damaged}the one before is used, {tmp_path / 'checkpoint.2.pt'}",
        f"{damaged}no checkpoint is left, and this training starts over",
    ]


def test_a_process_killed_while_it_renames_loses_nothing(checkpoint: Checkpoint):
    checkpoint.save(STATE)
    checkpoint.path.replace(checkpoint.path.with_name("checkpoint.1.pt"))
    assert equal(checkpoint.load(), STATE)
    checkpoint.save(STATE | {"nothing": 1})
    assert equal(checkpoint.load(), STATE | {"nothing": 1})
    checkpoint.remove()
    assert not list(checkpoint.path.parent.iterdir())


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


def test_every_flipped_bit_is_found(checkpoint: Checkpoint):
    checkpoint.save(STATE)
    content = checkpoint.path.read_bytes()
    draws = random.Random(0)
    found = 0
    for _ in range(400):
        damaged = bytearray(content)
        damaged[draws.randrange(len(damaged))] ^= 1 << draws.randrange(8)
        checkpoint.path.write_bytes(damaged)
        found += checkpoint.load() is None  # raises nothing, whatever the damage
    assert found == 400


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
