"""Oxford Flowers-102 (Nilsback and Zisserman 2008) in its own layout.

Images are `jpg/image_<number>.jpg`; `imagelabels.mat` has the class of each number, `setid.mat` the numbers of each
split. The names of the classes come with neither: they are those of the data set's page, as torchvision has them.
"""

from pathlib import Path

from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, SplitName
from pipeline.data.readers.common import readable_names, unpacked_folder
from pipeline.data.readers.tables import Place, Rows, load_matlab, whole_number

NAMES = """
pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon orchid,
bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, yellow iris,
globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire lily, pincushion flower,
fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers, stemless gentian, artichoke, sweet
william, carnation, garden phlox, love in the mist, mexican aster, alpine sea holly, ruby-lipped cattleya, cape
flower, great masterwort, siam tulip, lenten rose, barbeton daisy, daffodil, sword lily, poinsettia, bolero deep
blue, wallflower, marigold, buttercup, oxeye daisy, common dandelion, petunia, wild pansy, primula, sunflower,
pelargonium, bishop of llandaff, gaura, geranium, orange dahlia, pink-yellow dahlia, cautleya spicata, japanese
anemone, black-eyed susan, silverbush, californian poppy, osteospermum, spring crocus, bearded iris, windflower,
tree poppy, gazania, azalea, water lily, rose, thorn apple, morning glory, passion flower, lotus, toad lily,
anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree mallow, magnolia, cyclamen, watercress,
canna lily, hippeastrum, bee balm, ball moss, foxglove, bougainvillea, camellia, mallow, mexican petunia, bromelia,
blanket flower, trumpet creeper, blackberry lily
"""
CLASSES = tuple(" ".join(name.split()) for name in NAMES.split(","))
"""In the order of the class numbers, which begin at 1."""

SETS: dict[SplitName, str] = {"train": "trnid", "validation": "valid", "test": "tstid"}
REMEDY = (
    "data.root must hold jpg/, imagelabels.mat and setid.mat. Oxford offers them, the images as 102flowers.tgz "
    "(https://www.robots.ox.ac.uk/~vgg/data/flowers/102/); download the three by hand into one folder, then\n"
    "    tar -xzf 102flowers.tgz\n"
    "    add --set data.root=DIR to the command"
)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits: `trnid` for training, `valid` is the validation split, `tstid` for the test.

    Published figures are of training on `trnid` alone or on both; some train on the larger `tstid`. `settings` and
    `progress` are of no effect.

    Raises:
        UnavailableError: scipy, a table or an image is missing, or a table is wrong; names the file and the entry.
    """
    needed = ("jpg", "imagelabels.mat", "setid.mat")
    root = unpacked_folder(root, "flowers102", needed, REMEDY, below=("flowers-102",))
    (labels,) = load_matlab(root / "imagelabels.mat", ["labels"])
    numbers: dict[int, tuple[Place, str]] = {}
    rows: Rows[int] = Rows(root)
    for (split, variable), images in zip(
        SETS.items(), load_matlab(root / "setid.mat", list(SETS.values())), strict=True
    ):
        for position, value in enumerate(images, start=1):
            place = Place(root / "setid.mat", position, f"{variable}, entry")
            image = whole_number(value)
            if image is None or not 1 <= image <= len(labels):
                raise place.error(f"image {str(value)[:20]} has no label in imagelabels.mat, which has {len(labels):,}")
            number = whole_number(labels[image - 1])
            if number is None or not 1 <= number <= len(CLASSES):
                found = str(labels[image - 1])[:20]
                raise Place(root / "imagelabels.mat", image, "entry").error(
                    f"expected a class from 1 to {len(CLASSES)}, found {found}"
                )
            numbers.setdefault(number, (Place(root / "imagelabels.mat", image, "entry"), CLASSES[number - 1]))
            rows.add(place, split, f"jpg/image_{image:05}.jpg", number)
    classes = dict(sorted(numbers.items()))
    return Listing(
        root,
        readable_names([name for _, name in classes.values()], root / "imagelabels.mat"),
        rows.splits(classes),
        official={"train": 1_020, "validation": 1_020, "test": 6_149},
    )
