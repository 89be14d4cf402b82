import subprocess
import sys
from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from pipeline.data.registry import DATASETS, FAMILIES, is_dataset, load_reader, reader_module


def test_every_family_has_its_reader():
    assert all(callable(load_reader(f"{family}:MNIST")) for family in FAMILIES)


@pytest.mark.parametrize("name", DATASETS)
def test_every_name_has_its_reader(name: str):
    assert callable(load_reader(name))


@pytest.mark.parametrize("name", ["torchvision:SVHN", "hf:cifar10", "hf:owner/set-1.0"])
def test_families_take_the_rest_of_the_name(name: str, tmp_path: Path):
    assert is_dataset(name) and reader_module(name).startswith("pipeline.data.readers.")
    reader = load_reader(name)
    assert reader.args == (name.partition(":")[2],)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["hf:", "hf:../x", "hf:a/b/c", "hf:.x", "torchvision:", "torchvision:a.b", "SVHN", "hf:a\n"]
)
def test_invalid_family_names_are_refused(name: str):
    assert not is_dataset(name)
    with pytest.raises(UsageError, match="no data set is named") as caught:
        load_reader(name)
    assert "torchvision:<Class>" in str(caught.value)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'cub200'"):
        load_reader("cub20")


def test_readers_and_index_import_no_torch():
    code = (
        "import sys, pipeline.data.registry as r, pipeline.data.index;"
        "[r.load_reader(n) for n in [*r.DATASETS, 'hf:x', 'torchvision:SVHN']]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
