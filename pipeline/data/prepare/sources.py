"""What each data set that can be fetched is made of, as data.

Checksums are those of torchvision's readers and, for CUB-200-2011, Tiny-ImageNet and Stanford Dogs, those that the
field's readers agree on. Where none is known, none is checked, and the one that was found is reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from types import MappingProxyType

from pipeline.data.listing import SplitName


@dataclass(frozen=True)
class Source:
    """One file of a data set.

    Attributes:
        url: where it is.
        megabytes: its size, rounded up; for the space that is needed, and twice as much is refused.
        md5: of the file; None where it is not known.
        unpacked: megabytes that come out of the archive, rounded up; 0 for a file that is used as it is.
        folder: below the root, where it is unpacked or put; "" for the root itself.
    """

    url: str
    megabytes: int
    md5: str | None = None
    unpacked: int = 0
    folder: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked."""
        return self.unpacked > 0


@dataclass(frozen=True)
class DataSet:
    """A data set as its authors give it.

    Attributes:
        sources: the files; none for a set that cannot be fetched without an account.
        classes: how many there are.
        images: in each official split, in the terms of the project: what is not for training is `test`.
        page: where a person can read about it, and get it by hand.
        by_hand: what to do where it cannot be fetched.
    """

    sources: tuple[Source, ...]
    classes: int
    images: Mapping[SplitName, int]
    page: str
    by_hand: str | None = None


def _images(train: int, test: int, validation: int | None = None) -> Mapping[SplitName, int]:
    splits: dict[SplitName, int] = {"train": train, "test": test}
    if validation is not None:
        splits["validation"] = validation
    return MappingProxyType(splits)


_DOGS = "http://vision.stanford.edu/aditya86/ImageNetDogs"
_VGG = "https://www.robots.ox.ac.uk/~vgg/data"
_FLOWERS, _PETS, _AIRCRAFT = f"{_VGG}/flowers/102", f"{_VGG}/pets/data", f"{_VGG}/fgvc-aircraft/archives"

SOURCES: Mapping[str, DataSet] = MappingProxyType(
    {
        "cifar10": DataSet(
            (
                Source(
                    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                    171,
                    "c58f30108f718f92721af3b95e74349a",
                    unpacked=187,
                ),
            ),
            10,
            _images(50_000, 10_000),
            "https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        "cifar100": DataSet(
            (
                Source(
                    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
                    170,
                    "eb9058c3a382ffc7106e4002c42a8d85",
                    unpacked=187,
                ),
            ),
            100,
            _images(50_000, 10_000),
            "https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        "stl10": DataSet(
            (
                Source(
                    "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                    2_641,
                    "91f7769df0f17e558f3565bffb0c7dfb",
                    unpacked=3_130,
                ),
            ),
            10,
            _images(5_000, 8_000),
            "https://cs.stanford.edu/~acoates/stl10/",
        ),
        "fgvc_aircraft": DataSet(
            (Source(f"{_AIRCRAFT}/fgvc-aircraft-2013b.tar.gz", 2_760, unpacked=2_800),),
            100,
            _images(3_334, 3_333, 3_333),
            f"{_VGG}/fgvc-aircraft/",
        ),
        "flowers102": DataSet(
            (
                Source(
                    f"{_FLOWERS}/102flowers.tgz",
                    346,
                    "52808999861908f626f3c1f4e79d11fa",
                    unpacked=350,
                    folder="flowers-102",
                ),
                Source(f"{_FLOWERS}/imagelabels.mat", 1, "e0620be6f572b9609742df49c70aed4d", folder="flowers-102"),
                Source(f"{_FLOWERS}/setid.mat", 1, "a5357ecc9cb78c4bef273ce3793fc85c", folder="flowers-102"),
            ),
            102,
            _images(1_020, 6_149, 1_020),
            f"{_FLOWERS}/",
        ),
        "oxford_pets": DataSet(
            (
                Source(
                    f"{_PETS}/images.tar.gz",
                    792,
                    "5c4f3ee8e5d25df40f4fd59a7f44e54c",
                    unpacked=820,
                    folder="oxford-iiit-pet",
                ),
                Source(
                    f"{_PETS}/annotations.tar.gz",
                    20,
                    "95a8c909bbe2e81eed6a22bccdf3f68f",
                    unpacked=60,
                    folder="oxford-iiit-pet",
                ),
            ),
            37,
            _images(3_680, 3_669),
            f"{_VGG}/pets/",
        ),
        "food101": DataSet(
            (
                Source(
                    "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                    4_997,
                    "85eeb15f3717b99a5da872d97d918f87",
                    unpacked=5_200,
                ),
            ),
            101,
            _images(75_750, 25_250),
            "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        ),
        "cub200": DataSet(
            (
                Source(
                    "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                    1_151,
                    "97eceeb196236b17998738112f37df78",
                    unpacked=1_300,
                ),
            ),
            200,
            _images(5_994, 5_794),
            "https://data.caltech.edu/records/65de6-vp158",
        ),
        "tiny_imagenet": DataSet(
            (
                Source(
                    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
                    249,
                    "90528d7ca1a48142e341f4ef8d21d0de",
                    unpacked=500,
                ),
            ),
            200,
            _images(100_000, 10_000),
            "http://cs231n.stanford.edu",
        ),
        "stanford_dogs": DataSet(
            (
                Source(f"{_DOGS}/images.tar", 794, "1bb1f2a596ae7057f99d7d75860002ef", unpacked=820),
                Source(f"{_DOGS}/lists.tar", 1, "edbb9f16854ec66506b5f09b583e0656", unpacked=2),
            ),
            120,
            _images(12_000, 8_580),
            "http://vision.stanford.edu/aditya86/ImageNetDogs/",
        ),
        "stanford_cars": DataSet(
            (),
            196,
            _images(8_144, 8_041),
            "https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
            "The authors' server does not give it any more. Where you can get it (copies ask for an account), put\n"
            "    cars_train/, cars_test/, devkit/ and cars_test_annos_withlabels.mat into {root}",
        ),
        "imagenet": DataSet(
            (),
            1_000,
            _images(1_281_167, 50_000),
            "https://image-net.org/download-images.php",
            "Get an account at image-net.org, then ILSVRC2012_img_train.tar (md5 1d675b47d978889d74fa0da5fadfb00e),\n"
            "  ILSVRC2012_img_val.tar (29b22e2961454d5413ddabcf34fc5622) and ILSVRC2012_devkit_t12.tar.gz\n"
            "  (fa75699e90414af021442c21a62c3abf). Put the archives into {root}; torchvision unpacks them in Python:\n"
            "    from torchvision.datasets import ImageNet; ImageNet({root!r}, 'train'); ImageNet({root!r}, 'val')",
        ),
    }
)


def prepare_remedy(dataset: str, root: str) -> str | None:
    """What to do where the folder of a data set is not there; None for one that `data prepare` does not know.

    Args:
        dataset: its name.
        root: the folder, as it was given.
    """
    if dataset not in SOURCES and not dataset.startswith("torchvision:"):
        return None
    command = f"tmkd-pipeline data prepare {dataset} --root {quote(root)}"
    return f"`{command}` puts it there, or tells how; or give the folder where you have it: --set data.root=FOLDER"
