from pathlib import Path

import pytest

from pipeline.data.stores.files import FileStore
from pipeline.data.stores.records import RecordStore
from pipeline.data.stores.registry import open_store


def test_unknown_store_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no store is named 'sql:x'"):
        open_store("sql:x", tmp_path)


def test_stores_are_opened_by_kind_and_argument(tmp_path: Path) -> None:
    files, records = open_store("files", tmp_path), open_store("records:cifar10", tmp_path)
    assert isinstance(files, FileStore) and files.root == tmp_path
    assert isinstance(records, RecordStore) and records.argument == "cifar10"
