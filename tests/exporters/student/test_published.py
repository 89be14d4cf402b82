from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from exporters.images.preprocessing import Preprocessing
from exporters.student.architectures import Architecture
from exporters.student.published import PartialPreprocessing, find_preprocessing, kept_by_script
from tests.exporters.conftest import MEAN, STD

HALF = (0.5, 0.5, 0.5)
PATH = Path("net.pth")


def test_user_goes_before_training_script_and_script_before_publisher() -> None:
    squeezenet = Architecture("squeezenet1_1", "torchvision")
    given = PartialPreprocessing(image_size=128)
    found, notes = find_preprocessing(squeezenet, given, {"mean": HALF, "std": HALF, "img_size": 96}, PATH)
    assert found == Preprocessing(128, 146, HALF, HALF, "bilinear")
    assert notes[0] == "mean, std: as the training script kept them in net.pth"
    assert notes[1].startswith("filter: as published for torchvision SqueezeNet1_1")


def test_resize_is_as_published_only_for_the_published_size() -> None:
    squeezenet = Architecture("squeezenet1_1", "torchvision")
    for size, resize in ((None, 256), (224, 256), (192, 219), (64, 64)):
        assert find_preprocessing(squeezenet, PartialPreprocessing(image_size=size), {}, PATH)[0].resize == resize


def test_networks_of_which_nothing_is_published_need_their_normalization() -> None:
    resnet8 = Architecture("resnet8", "cifar")
    with pytest.raises(UsageError, match=r"nothing is published .*cifar:resnet8: --mean, --std must be given"):
        find_preprocessing(resnet8, PartialPreprocessing(), {}, PATH)
    found, notes = find_preprocessing(resnet8, PartialPreprocessing(MEAN, STD), {}, PATH)
    assert found == Preprocessing(32, 32, MEAN, STD) and notes == []


def test_settings_of_training_scripts_are_read_with_care() -> None:
    assert kept_by_script({"input_size": [3, 160, 160], "interpolation": "bicubic"}, PATH) == PartialPreprocessing(
        image_size=160, interpolation="bicubic"
    )
    assert kept_by_script({"mean": HALF, "std": None, "interpolation": "random"}, PATH) == PartialPreprocessing()
    assert kept_by_script({"val_resize_size": 256}, PATH).resize is None  # of an unknown crop
    with pytest.raises(UsageError, match=r"net\.pth: args\.mean"):
        kept_by_script({"mean": [123.0, 116.0, 103.0], "std": [58.0, 57.0, 57.0]}, PATH)
