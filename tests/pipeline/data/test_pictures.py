import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exporters.core.errors import UnavailableError
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.batch_maker import BatchMaker
from pipeline.data.batches import CPU, Batch, Failure, Request
from pipeline.data.indexing import build_index
from pipeline.data.loading import Loader
from pipeline.data.pictures import Pictures, is_plain_jpeg
from tests.pipeline.data.conftest import Augment, Data, write_image

GEOMETRY = Geometry(16, 20)
SIZES = [(40, 30), (31, 47), (24, 24)]


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92, **options)
    return stream.getvalue()


@pytest.mark.parametrize("crop", ["random", "resized", "shift", "none"])
def test_files_and_pixels_are_cut_as_pillow_cuts_them(crop: str) -> None:
    images = [photograph(*size, seed) for seed, size in enumerate(SIZES)]
    augmentation = Augmentation(Augment(crop=crop), GEOMETRY, 3)  # type: ignore[arg-type]
    draws = augmentation.draw(0, np.arange(3), np.array(SIZES))
    pictures = Pictures.of([jpeg(images[0]), images[1], jpeg(images[2])], np.array(SIZES), ["a", "b", "c"])
    found = pictures.squares(draws, augmentation, CPU).to(torch.int16)
    decoded = [Image.open(io.BytesIO(jpeg(image))).convert("RGB") for image in images]
    decoded[1] = images[1]
    expected = augmentation.cut([augmentation.preparation.apply(image) for image in decoded], draws)
    assert torch.equal(found[1], expected[1].to(torch.int16))
    assert (found - expected).abs().max() <= 3  # decoders round in their own ways


def test_only_files_that_need_nothing_but_decoding_are_left_to_the_gpu() -> None:
    image, turned = photograph(40, 30), Image.Exif()
    turned[0x0112] = 6
    png = io.BytesIO()
    image.save(png, "PNG")
    assert is_plain_jpeg(jpeg(image), (40, 30))
    assert is_plain_jpeg(jpeg(image.convert("L")), (40, 30))
    assert not is_plain_jpeg(jpeg(image), (30, 40))
    assert not is_plain_jpeg(jpeg(image, exif=turned), (40, 30))
    assert not is_plain_jpeg(jpeg(image.convert("CMYK")), (40, 30))
    assert not is_plain_jpeg(png.getvalue(), (40, 30))
    assert not is_plain_jpeg(b"", (40, 30))


def test_broken_file_is_named() -> None:
    augmentation = Augmentation(Augment(), GEOMETRY, 3)  # type: ignore[arg-type]
    draws = augmentation.draw(0, np.arange(2), np.array(SIZES[:2]))
    pictures = Pictures.of([jpeg(photograph(*SIZES[0])), b"no image"], np.array(SIZES[:2]), ["whole.jpg", "broken.jpg"])
    with pytest.raises(UnavailableError, match=r"broken\.jpg: cannot be decoded on cpu") as caught:
        pictures.squares(draws, augmentation, CPU)
    assert "--set data.decode=cpu" in str(caught.value)


def write_mixed(root: Path) -> None:
    """JPEG and PNG files in two classes."""
    for number, folder in enumerate(("train/a", "train/b", "test/a", "test/b")):
        for i in range(6):
            path = root / folder / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(photograph(30 + i, 25, 10 * number + i)))
        write_image(root / folder / "last.png", 1000 + number)


def test_batch_decoded_on_the_device_is_the_batch_decoded_by_pillow(tmp_path: Path) -> None:
    write_mixed(tmp_path)
    index = build_index(Data(root=str(tmp_path)))  # type: ignore[arg-type]
    augmentation = Augmentation(Augment(mixup=0.3), GEOMETRY, 3)  # type: ignore[arg-type]
    here, there = (
        BatchMaker(index, index.root, 0).__getitems__(Request("train", augmentation, 2, np.arange(8), CPU, decode))
        for decode in (False, True)
    )
    assert isinstance(here, Batch) and isinstance(there, Batch)
    assert (here.images.to(torch.int16) - there.images).abs().max() <= 3
    for name in ("labels", "indices", "partners", "shares"):
        assert torch.equal(getattr(here, name), getattr(there, name))
    (index.root / index.splits["train"].paths[2]).unlink()
    gone = BatchMaker(index, index.root, 0).__getitems__(Request("train", augmentation, 2, np.arange(8), CPU, True))
    assert isinstance(gone, Failure) and index.splits["train"].paths[2] in gone.message


def test_decoding_on_a_gpu_is_refused_without_one(tmp_path: Path) -> None:
    write_mixed(tmp_path)
    index = build_index(Data(root=str(tmp_path)))  # type: ignore[arg-type]
    augmentation = Augmentation(Augment(), GEOMETRY, 3)  # type: ignore[arg-type]
    loader = Loader(index, index.root, 0, decode="gpu")
    with pytest.raises(UnavailableError, match=r"data\.decode: gpu needs an NVIDIA GPU, and training runs on cpu"):
        next(loader.training_batches(augmentation, 4, 0, 0))
    assert len(next(loader.evaluation_batches("test", GEOMETRY, 4)).labels) == 4
