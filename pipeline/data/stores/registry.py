"""Stores by name, so that an index can say in a word where its images lie."""

from pathlib import Path

from pipeline.data.stores.base import Store


def open_store(name: str, root: Path) -> Store:
    """The store of a registered name, such as `files`, `records:cifar10` or `torchvision:SVHN`.

    Nothing is opened before the first image is asked for.

    Raises:
        ValueError: no store has this name.
    """
    kind, _, argument = name.partition(":")
    # Written out, not looked up by text: a stage's fingerprint follows imports, and how images are decoded counts.
    match kind:
        case "files":
            from pipeline.data.stores.files import FileStore

            return FileStore(root, argument)
        case "records":
            from pipeline.data.stores.records import RecordStore

            return RecordStore(root, argument)
        case "pickled":
            from pipeline.data.stores.pickled import PickledStore

            return PickledStore(root, argument)
        case "shards":
            from pipeline.data.stores.shards import ShardStore

            return ShardStore(root, argument)
        case "torchvision":
            from pipeline.data.stores.torchvision_sets import TorchvisionStore

            return TorchvisionStore(root, argument)
        case "hf":
            from pipeline.data.stores.huggingface import HuggingFaceStore

            return HuggingFaceStore(root, argument)
        case _:
            raise ValueError(f"no store is named {name!r}")
