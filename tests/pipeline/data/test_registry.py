import subprocess
import sys

import pytest

from exporters.errors import UsageError
from pipeline.data.registry import DATASETS, load_reader


@pytest.mark.parametrize("name", DATASETS)
def test_every_name_has_its_reader(name: str):
    assert callable(load_reader(name))


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'cub200'"):
        load_reader("cub20")


def test_readers_and_index_import_no_torch():
    code = (
        "import sys, pipeline.data.registry as r, pipeline.data.index, pipeline.data.augmentation;"
        "[r.load_reader(n) for n in r.DATASETS]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
