"""Training, verify and export find the same images under the same labels, whatever else lies in the folder."""

import tempfile
from pathlib import Path
from unicodedata import normalize

from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.command.images import ImageFolder
from exporters.images.labelled import labelled_images
from pipeline.data.readers.folder import read
from tests.pipeline.data.conftest import Data, write_image

CLASSES = ("barn_owl", "cafe\u0301", "wren")
NAMES = st.sampled_from(
    ["a.png", "b.JPG", "c.avif", "d.jp2", "e.jfif", "f.jpe", "g.pgm", "._a.png", ".DS_Store", "Thumbs.db", "README",
     "deep/h.png", ".ipynb_checkpoints/a.png", "__MACOSX/._a.png", "@eaDir/a.png", "linked/i.png"]
)  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(CLASSES), NAMES), max_size=12), st.booleans(), st.booleans())
def test_training_and_proof_read_a_folder_alike(extra: list[tuple[str, str]], linked: bool, macosx: bool) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root, elsewhere = Path(temporary) / "set", Path(temporary) / "elsewhere"
        for split in ("Train", "Test"):
            for name in CLASSES:
                write_image(root / split / name / "first.png", 0)
        for name, path in extra:
            (root / "Test" / name / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "Test" / name / path).touch()
        if linked:
            (root / "Test/wren").rename(elsewhere)
            (root / "Test/wren").symlink_to(elsewhere)
        if macosx:
            write_image(root / "Test/__MACOSX/wren/a.png", 0)
        listing = read(root, Data())
        test = listing.splits["test"]
        trained = {root / path: label for path, label in zip(test.paths, test.labels, strict=True)}
        found = labelled_images(root, [normalize("NFC", name) for name in listing.classes])
        assert dict(found.images) == trained
        assert set(ImageFolder(root).paths) == set(trained)
        assert all(f"{count:,} {kind.split()[0]}" in found.left_out for kind, count in listing.ignored.items())
