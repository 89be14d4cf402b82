from pathlib import Path

import pytest
from PIL import Image

from exporters.core.errors import UsageError
from exporters.images.named import named_images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("b.png", "a.jpg", "below/c.png", "below/notes.txt", "[1].png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no image")
        else:
            Image.new("RGB", (4, 4)).save(path)
    return tmp_path / "photos"


def names(photos: Path, *given: str, listed: tuple[str, ...] = ()) -> list[str]:
    found = named_images([str(photos / name) if name != "-" else name for name in given], listed)
    return [path.relative_to(photos).as_posix() for path in found]


def test_folder_gives_its_images_and_those_below(photos: Path) -> None:
    assert names(photos, ".") == ["[1].png", "a.jpg", "b.png", "below/c.png"]


def test_files_stand_in_the_order_in_which_they_are_named_whether_they_are_there_or_not(photos: Path) -> None:
    assert names(photos, "b.png", "gone.png", "below", "a.jpg") == ["b.png", "gone.png", "below/c.png", "a.jpg"]


def test_pattern_is_expanded_and_a_file_of_that_very_name_is_itself(photos: Path) -> None:
    assert names(photos, "*.png") == ["[1].png", "b.png"]
    assert names(photos, "**/*.png") == ["[1].png", "b.png", "below/c.png"]
    assert names(photos, "[1].png") == ["[1].png"]


def test_list_has_a_path_on_each_line(photos: Path) -> None:
    listed = (f"{photos / 'b.png'}\n", "\n", f"{photos / 'below'}\r\n", f"{photos / 'a.jpg'}")
    assert names(photos, "-", listed=listed) == ["b.png", "below/c.png", "a.jpg"]


def test_list_is_read_as_far_as_it_is_asked_for(photos: Path) -> None:
    def endless():  # type: ignore[no-untyped-def]
        while True:
            yield f"{photos / 'b.png'}\n"

    found = named_images(["-"], endless())
    assert [next(found).name for _ in range(3)] == ["b.png"] * 3


@pytest.mark.parametrize("given", [["*.webp"], ["-", "-"], ["none"]])
def test_names_without_an_image_are_one_clear_error(photos: Path, given: list[str]) -> None:
    (photos / "none").mkdir()
    with pytest.raises(UsageError):
        names(photos, *given)
