"""The whole set in a folder: rendered on first use, proved on every use, rendered again when damaged."""

import functools
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exporters.core.errors import UnavailableError
from exporters.core.files import atomic_directory, dump_json, read_json, sha256_bytes, write_json
from exporters.core.locks import held_in_turn
from exporters.core.write_errors import WriteError
from pipeline.data.birds_demo.difficulty import DIFFICULTY, IMAGE_SIZE, SEED, TEST_PER_CLASS, TRAIN_PER_CLASS, VERSION
from pipeline.data.birds_demo.render import render_image
from pipeline.data.birds_demo.species import CLASS_NAMES, SPECIES
from pipeline.data.user_cache import cache_folder

SPLITS: dict[str, int] = {"train": TRAIN_PER_CLASS, "test": TEST_PER_CLASS}
_DRAWING = ("bird", "drawing", "render", "scenery")
_DESCRIPTION = "dataset.json"


def default_root() -> Path:
    """Where the set is kept unless told otherwise.

    `$TMKD_CACHE`, else `$XDG_CACHE_HOME/tmkd-pipeline`, else `~/.cache/tmkd-pipeline`; in it `birds_demo-v<version>`.

    Raises:
        UnavailableError: none of the three is known.
    """
    folder = cache_folder()
    if folder is None:
        raise UnavailableError(
            "birds_demo has no place to be rendered to: this user has no home directory",
            remedy="Set TMKD_CACHE to a folder that can be written.",
        )
    return folder / f"birds_demo-v{VERSION}"


def ensure_birds_demo(root: Path | None = None, progress: Callable[[int, int], None] | None = None) -> Path:
    """Give the folder of the complete set, rendering it first where it is missing, damaged or of other settings.

    The layout is `<root>/{train,test}/<class with underscores>/<nnn>.png` and, written last, `<root>/dataset.json` with
    the version, class names, counts and a digest over all images, which every call compares. The set takes its name
    only once it is whole, and of two processes at once the second waits for the first.

    Args:
        root: the folder of the set itself; `default_root()` unless given.
        progress: called with (images done, images in all) while rendering.

    Raises:
        UnavailableError: the folder cannot be written, or holds something that is not this set.
    """
    folder = (default_root() if root is None else root).absolute()
    try:
        if _is_complete(folder):
            return folder
        with _only_one(folder):
            if not _is_complete(folder):  # another process may have rendered it while this one waited
                _refuse_foreign(folder)
                _render(folder, progress)
    except (OSError, WriteError) as error:
        reason = error.message if isinstance(error, WriteError) else error.strerror or error
        raise UnavailableError(
            f"birds_demo cannot be kept in {folder}: {reason}",
            remedy="Set TMKD_CACHE or `data.root` to a folder that can be written, with 40 MB free.",
        ) from error
    return folder


def _description() -> dict[str, Any]:
    """What `dataset.json` says apart from the digest of the images."""
    settings = {
        "seed": SEED,
        "difficulty": asdict(DIFFICULTY),
        "species": [asdict(species) for species in SPECIES],
    }
    return {
        "name": "birds_demo",
        "version": VERSION,
        "classes": list(CLASS_NAMES),
        "images_per_class": dict(SPLITS),
        "image_size": IMAGE_SIZE,
        "settings_sha256": sha256_bytes(dump_json(settings).encode()),
        "drawing_sha256": _drawing_digest(),
    }


@functools.cache
def _drawing_digest() -> str:
    """Of the files that draw: another stroke makes another set, whether or not somebody raised the version."""
    here = Path(__file__).parent
    return sha256_bytes(b"".join((here / f"{name}.py").read_bytes() for name in _DRAWING))


def _content_digest(folder: Path) -> str:
    """One SHA-256 over the names and bytes of all files below the splits."""
    digest = hashlib.sha256()
    for split in sorted(SPLITS):
        for path in sorted(path for path in (folder / split).rglob("*") if path.is_file()):
            digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _is_complete(folder: Path) -> bool:
    try:
        found = read_json(folder / _DESCRIPTION)
    except (FileNotFoundError, ValueError):
        return False
    return bool(found == {**_description(), "content_sha256": _content_digest(folder)})


def _refuse_foreign(folder: Path) -> None:
    """Stop before anything that is not ours would be replaced."""
    if not folder.exists():
        return
    classes = {species.folder for species in SPECIES}
    foreign = [path for path in folder.iterdir() if path.name not in {*SPLITS, _DESCRIPTION}]
    for split in SPLITS:
        if (folder / split).is_dir():
            foreign += [path for path in (folder / split).iterdir() if path.name not in classes]
    if foreign:
        raise UnavailableError(
            f"birds_demo will not be rendered into {folder}: it holds other files, such as {min(foreign)}",
            remedy="Give another folder as `data.root`, or move those files away.",
        )


def _render(folder: Path, progress: Callable[[int, int], None] | None) -> None:
    total, done = len(SPECIES) * sum(SPLITS.values()), 0
    with atomic_directory(folder) as temporary:
        for split, count in SPLITS.items():
            for class_index, species in enumerate(SPECIES):
                target = temporary / split / species.folder
                target.mkdir(parents=True)
                for index in range(count):
                    image = render_image(class_index, split, index, IMAGE_SIZE)
                    image.save(target / f"{index:03d}.png", compress_level=1)  # grain hardly compresses; speed counts
                    done += 1
                    if progress is not None:
                        progress(done, total)
        write_json(temporary / _DESCRIPTION, {**_description(), "content_sha256": _content_digest(temporary)})


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the set's lock, which is gone afterwards, and clear what a killed process left behind."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(held_in_turn(folder.parent / f".{folder.name}.lock"))
        except UnavailableError as error:
            raise error.__cause__ or error from None  # the folder cannot be written, which is said for the set
        for pattern in (f".{folder.name}-*.tmp", f".{folder.name}-*.old"):
            for leftover in folder.parent.glob(pattern):
                shutil.rmtree(leftover, ignore_errors=True)
        yield
