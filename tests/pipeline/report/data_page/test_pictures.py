from pathlib import Path

from pipeline.data.inspection.inspect import inspect
from pipeline.explain.suspects import Suspect, SuspectList
from pipeline.report.data_page.pictures import near_ones, odd_ones, store_of, suspects_shown
from tests.pipeline.data.conftest import Data


def test_odd_images_are_shown_by_kind(hostile: Path) -> None:
    found = inspect(Data(root=str(hostile)))
    shown = {group.heading: group for group in odd_ones(found, store_of(found))}
    assert [picture.caption.split("/")[-1] for picture in shown["Grey among images in colour"].pictures] == ["grey.png"]
    assert shown["More than 3 times as long as wide"].about == "1"


def test_images_that_are_gone_are_left_out(hostile: Path) -> None:
    found = inspect(Data(root=str(hostile)))
    key = found.splits["train"].images.paths[0]
    suspects = [Suspect("train", name, "a", "b", 0.02, 0.97) for name in (key, "train/gone.png")]
    group = suspects_shown("some", SuspectList(2, 0, 2, tuple(suspects)), store_of(found))
    (picture,) = group.pictures
    assert picture.path == key and picture.caption == "train: a (2 %), rather b (97 %)"
    assert picture.source.startswith("data:image/jpeg;base64,") and len(list(near_ones(found, store_of(found)))) == 1
