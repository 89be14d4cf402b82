"""Weights under foreign keys: what the accuracy on images proves of their mapping."""

from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from exporters.command import export_checkpoint
from exporters.core.errors import GateError
from exporters.student.checkpoint import CheckpointOptions, LoadedCheckpoint, load_checkpoint
from tests.exporters.command.conftest import CLASSES, PREPROCESSING, Exports, Trained


def foreign_file(trained: Trained, folder: Path) -> Path:
    """The trained weights under names as another author might choose."""
    renamed = {"conv1": "_stem", "bn1": "_stem_norm", "linear": "_fc"}
    state = OrderedDict()
    for key, value in trained.student.module.state_dict().items():
        first, _, rest = key.partition(".")
        if not key.endswith("num_batches_tracked"):
            state[f"{renamed.get(first, f'_{first}')}.{rest}"] = value
    path = folder / "foreign.pth"
    torch.save({"state_dict": state}, path)
    return path


@pytest.fixture
def loaded(trained: Trained, tmp_path: Path) -> LoadedCheckpoint:
    path = foreign_file(trained, tmp_path)
    preprocessing = PREPROCESSING
    options = CheckpointOptions(
        model="cifar:resnet8",
        labels=CLASSES,
        mean=preprocessing.mean,
        std=preprocessing.std,
        image_size=preprocessing.size,
        resize=preprocessing.resize,
    )
    return load_checkpoint(path, options)


def export(checkpoint: LoadedCheckpoint, out: Path, data: Path | None) -> tuple[str, bool]:
    lines: list[str] = []
    try:
        export_checkpoint(checkpoint, out, data=data, say=lines.append)
    finally:
        output = "\n".join(lines)
    return output, (out / "model.onnx").is_file()


def test_foreign_keys_are_mapped_and_noted(loaded: LoadedCheckpoint, trained: Trained) -> None:
    own = trained.student.module.state_dict()
    for key, value in loaded.student.module.state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, own[key])
    assert loaded.mapped == sum(not key.endswith("num_batches_tracked") for key in own)
    (note,) = loaded.notes
    assert f"all {loaded.mapped} shapes agree in their order: _stem.weight is conv1.weight" in note


def test_accuracy_above_chance_proves_the_mapping(
    loaded: LoadedCheckpoint, trained: Trained, exports: Exports, tmp_path: Path
) -> None:
    exports(trained.model)
    output, shipped = export(loaded, tmp_path / "out", trained.unseen)
    assert shipped
    (line,) = [
        line for line in output.splitlines() if line.startswith(f"the mapping of {loaded.mapped} keys is proved")
    ]
    assert "100.00 %" in line and "33.33 %" in line and "48" in line


def test_without_labelled_images_the_mapping_is_called_unproved(
    loaded: LoadedCheckpoint, trained: Trained, exports: Exports, tmp_path: Path
) -> None:
    exports(trained.model)
    one_class = tmp_path / "data"
    (one_class / "red").parent.mkdir()
    (one_class / "red").symlink_to(trained.unseen / "red", target_is_directory=True)
    for data in (None, trained.unseen / "red", one_class):
        output, shipped = export(loaded, tmp_path / "out", data)
        assert shipped and f"UNPROVED: {loaded.mapped} keys were mapped by their order" in output
        assert "--data" in output


def test_accuracy_at_chance_ships_nothing(
    loaded: LoadedCheckpoint, trained: Trained, exports: Exports, tmp_path: Path
) -> None:
    """Folders of other classes' images stand for a mapping that went wrong."""
    mixed = tmp_path / "mixed"
    for name, source in zip(CLASSES, [*CLASSES[1:], CLASSES[0]], strict=True):
        (mixed / name).mkdir(parents=True)
        for path in (trained.unseen / source).iterdir():
            (mixed / name / path.name).write_bytes(path.read_bytes())
    exports(trained.model)
    with pytest.raises(GateError, match=r"mapped by their order, and the accuracy does not prove it: 0\.00 %"):
        export(loaded, tmp_path / "out", mixed)
    assert not (tmp_path / "out" / "model.onnx").exists()


def test_own_keys_need_no_proof(trained: Trained, exports: Exports, tmp_path: Path) -> None:
    exports(trained.model)
    output, shipped = export(LoadedCheckpoint(trained.student), tmp_path / "out", None)
    assert shipped and "UNPROVED" not in output
