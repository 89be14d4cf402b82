"""Class names as words: own ones, files, shipped sets."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.catalog import LIBRARY_CLASS_SETS, class_sets, configs_directory
from pipeline.class_names.libraries import LIBRARY_SETS
from pipeline.class_names.wordnet import distinct_words, synonyms
from pipeline.class_names.words import class_names_file, class_words, code_names, plain_name, readable_name

SHIPPED = sorted((configs_directory() / "classes").glob("*.yaml"), key=lambda path: path.stem)
COUNTS = {
    "cifar10": 10, "cifar100": 100, "fashion_mnist": 10, "flowers102": 102, "imagenet": 1000, "mnist": 10,
    "oxford_pets": 37, "stl10": 10,
}  # fmt: skip


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(source: str, classes: list[str]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        class_words(source, classes)
    assert caught.value.exit_code == 2 and caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("Black footed Albatross", "Black footed Albatross"),
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("n02085620-Great_Dane", "Great Dane"),
        ("t-shirt", "t shirt"),
        ("great-dane", "great dane"),
        ("002.laysan-albatross", "laysan albatross"),
        ("short-eared_owl", "short-eared owl"),
        ("fan-crested plain spoonbill", "fan-crested plain spoonbill"),
        ("n01443537", "n01443537"),
        ("747-400", "747-400"),
        ("DC-10", "DC-10"),
        ("F-16A/B", "F-16A/B"),
        ("3_series", "3 series"),
        ("1.5 litre", "1.5 litre"),
        ("-", "-"),
    ],
)
def test_own_names_are_made_readable_for_prompts(own: str, words: str) -> None:
    assert readable_name(own) == words
    assert class_words(None, [own, "something else"]) == [words, "something else"]


def test_the_data_sets_own_names_read_as_english() -> None:
    from pipeline.data.birds_demo.species import SPECIES

    names = class_words(None, [species.name for species in SPECIES])
    assert code_names(names) == []
    assert names == [species.name for species in SPECIES]
    assert all(name.replace(" ", "").replace("-", "").isalpha() for name in names)


def test_codes_are_distinguished_from_words() -> None:
    assert code_names(["n01443537", "7", "goldfish", "boeing 747", "007"]) == ["n01443537", "7", "007"]


def test_mapping_may_be_unordered_and_have_extra_entries(tmp_path: Path) -> None:
    source = write(tmp_path / "a.yaml", "n02: house  cat\nN-01: goldfish\nn09: never seen\n")
    assert class_words(source, ["n 01", "n02"]) == ["goldfish", "house cat"]


def test_labels_are_taken_as_written(tmp_path: Path) -> None:
    # In YAML 1.1 these would be 8, False, 1.0 and a date.
    source = write(tmp_path / "a.yaml", "010: ten\nno: Norway\n1.0: version one\n2024-01-01: new year\n")
    assert class_words(source, ["no", "2024-01-01", "1.0", "10"]) == ["Norway", "new year", "version one", "ten"]


def test_list_follows_the_order_of_the_classes(tmp_path: Path) -> None:
    source = write(tmp_path / "a.yaml", "- goldfish\n- yes\n- Chihuahua\n")
    assert class_words(source, ["n01", "n02", "n03"]) == ["goldfish", "yes", "Chihuahua"]


def test_numeric_classes_are_sorted_as_numbers(tmp_path: Path) -> None:
    words = [f"thing {chr(97 + i)}" for i in range(12)]
    classes = sorted(str(i) for i in range(1, 13))
    assert classes[:3] == ["1", "10", "11"]
    source = write(tmp_path / "list.yaml", yaml.safe_dump(words))
    assert class_words(source, classes) == [words[int(name) - 1] for name in classes]
    source = write(tmp_path / "map.yaml", yaml.safe_dump({f"label {w}": w for w in words}, sort_keys=False))
    assert class_words(source, classes) == [words[int(name) - 1] for name in classes]
    # Labels that are numbers themselves mean what they say.
    source = write(tmp_path / "numbers.yaml", "0: zero\n1: one\n2: two\n")
    assert class_words(source, ["02", "1"]) == ["two", "one"]


@given(count=st.integers(2, 30), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_each_class_gets_its_own_words_whatever_the_order(
    count: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draws = random.Random(seed)
    labels = [f"n{draws.randrange(10**7):07}{i:02}" for i in range(count)]
    words = {label: f"word {label[::-1]}" for label in labels}
    rows = draws.sample(sorted(words.items()), count)
    source = write(tmp_path_factory.getbasetemp() / "any.yaml", yaml.safe_dump(dict(rows), sort_keys=False))
    wanted = draws.sample(labels, draws.randint(1, count))
    assert class_words(source, wanted) == [words[label] for label in wanted]


def test_first_five_missing_classes_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "few.yaml", "a: first\nb: second\n")
    error = refusal(source, ["a", *(f"class {i}" for i in range(7))])
    assert "few.yaml: has no words for 7 of the data set's 8 classes: class 0" in error.message
    assert "class 4 and 2 more" in error.message and "class 5" not in error.message
    assert "a, b" in str(error.remedy)


@pytest.mark.parametrize(
    ("text", "classes", "expected"),
    [
        ("a: crane\nb: Crane\n", ["a", "b"], "'a' and 'b' are both called 'Crane'"),
        ("- crane\n- heron\n- crane\n", ["a", "b", "c"], "'a' and 'c' are both called 'crane'"),
        ("- crane\n", ["a", "b"], "lists 1 names for the data set's 2 classes"),
        ("- dog\n- cat\n", ["cat", "dog"], "calls class 1 of the data set, 'cat', 'dog', which is the name of its"),
        ("a: [x]\nb: y\n", ["a", "b"], "line 1: a: expected words"),
        ("a: x\nb:\n", ["a", "b"], "line 2: b: expected words"),
        ("a: x\nb: ~\n", ["a", "b"], "line 2: b: expected words"),
        ("- x\n- {y: z}\n", ["a", "b"], "line 2: 1: expected words"),
        ("[x]: y\n", ["a", "b"], "line 1: expected a label"),
        ("a: x\nA: y\n", ["a", "b"], "line 2: A: stands on line 1 already"),
        ("{}", ["a"], "is empty"),
        ("", ["a"], "expected a mapping"),
        ("goldfish", ["a"], "expected a mapping"),
        ("a: [", ["a"], "not valid YAML"),
        ('a: "\\UFFFFFFFF"', ["a"], "not valid YAML"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, text: str, classes: list[str], expected: str) -> None:
    path = tmp_path / "bad.yaml"
    with pytest.raises(UsageError) as caught:
        class_words(write(path, text), classes)
    assert expected in caught.value.message and caught.value.exit_code == 2
    assert path.name in caught.value.message or "teacher.text.class_names" in caught.value.message


def test_all_mistakes_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    error = refusal(write(tmp_path / "bad.yaml", "a: [x]\nb: {}\na: y\n"), ["a", "b"])
    assert [line.partition("bad.yaml: ")[2][:9] for line in error.message.splitlines()] == [
        "line 1: a", "line 2: b", "line 3: a"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"n01": "goldfish", "n02": "house cat"}'),
        ("class_index.json", '{"1": ["n02", "house cat"], "0": ["n01", "goldfish"]}'),
        ("a.json", '["goldfish", "house cat"]'),
        ("a.csv", "label,name\nn02,house cat\nn01,goldfish\n"),
        ("a.csv", 'n01,goldfish\nn02,"house cat"\n'),
        ("a.csv", "name\ngoldfish\nhouse cat\n"),
        ("a.txt", "goldfish\nhouse cat\n"),
        ("a.yaml", "- goldfish\n- house cat\n"),
    ],
)
def test_class_names_are_read_by_the_kind_of_their_file(tmp_path: Path, name: str, text: str) -> None:
    assert class_words(write(tmp_path / name, text), ["n01", "n02"]) == ["goldfish", "house cat"]


def test_a_file_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    error = refusal(write(tmp_path / "a.xlsx", "n01: goldfish\n"), ["n01"])
    assert "a.xlsx: not a file of labels by its name" in error.message and ".csv" in str(error.remedy)


def test_own_names_that_read_the_same_are_refused() -> None:
    with pytest.raises(UsageError, match="'t-shirt' and 't shirt' are both called 't shirt'"):
        class_words(None, ["t-shirt", "t shirt"])


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    assert "no such file: absent.yaml" in refusal("absent.yaml", ["a"]).message
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match="cannot be read"):
        class_words(str(tmp_path / "binary.yaml"), ["a"])
    with pytest.raises(UsageError, match="not valid YAML"):
        class_words(write(tmp_path / "deep.yaml", "[" * 20000), ["a"])


def test_yaml_tags_construct_no_object(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    source = write(tmp_path / "a.yaml", f"a: !!python/object/apply:os.mkdir ['{trace}']\nb: x\n")
    assert "line 1: a: expected words" in refusal(source, ["a", "b"]).message
    assert not trace.exists()


def test_every_set_is_listed_and_has_its_number_of_classes() -> None:
    assert set(LIBRARY_CLASS_SETS) == set(LIBRARY_SETS)
    assert set(class_sets()) == set(COUNTS) == {path.stem for path in SHIPPED} | set(LIBRARY_SETS)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_set_names_every_class_by_label_and_by_number(path: Path) -> None:
    assert class_names_file(path.stem) == path
    content = yaml.safe_load(path.read_text())
    labels, words = [str(label) for label in content], list(content.values())
    assert len(labels) == COUNTS[path.stem]
    shuffled = random.Random(0).sample(labels, len(labels))
    assert class_words(path.stem, shuffled) == [content[label] for label in shuffled]
    for first in (0, 1):
        folders = sorted(str(first + i) for i in range(len(labels)))
        assert class_words(path.stem, folders) == [words[int(folder) - first] for folder in folders]
    assert len({plain_name(text) for text in words}) == len(words) and code_names(words) == []


def test_shipped_labels_are_those_of_torchvision() -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    for name, reference in (("mnist", datasets.MNIST), ("fashion_mnist", datasets.FashionMNIST)):
        assert list(yaml.safe_load(class_names_file(name).read_text())) == reference.classes


def test_labels_of_alphabetical_data_sets_are_sorted() -> None:
    for name in ("cifar10", "cifar100", "stl10", "oxford_pets"):
        labels = list(yaml.safe_load(class_names_file(name).read_text()))
        assert labels == sorted(labels, key=str.lower)


def test_imagenet_classes_are_found_by_code_and_number() -> None:
    timm_data = pytest.importorskip("timm.data")
    assert class_words("imagenet", ["n01443537", "n02085620"]) == ["goldfish", "Chihuahua"]
    info = timm_data.ImageNetInfo()
    by_code = class_words("imagenet", info.label_names())
    assert len({plain_name(words) for words in by_code}) == 1000
    assert class_words("imagenet", [f"{i:04}" for i in range(1000)]) == by_code
    # Codes beyond the 1,000 are WordNet's; what it has not is missing.
    assert class_words("imagenet", ["n01443537", "n00005787"]) == ["goldfish", "benthos"]
    assert "n99999999" in refusal("imagenet", ["n01443537", "n99999999"]).message
    # open_clip calls two pairs of classes by one name each.
    names = dict(zip(info.label_names(), by_code, strict=True))
    assert (names["n03773504"], names["n04008634"]) == ("missile", "projectile")


def test_imagenet_classes_are_found_by_words() -> None:
    """Data sets read by name have words for class names, where class folders have codes."""
    codes = pytest.importorskip("timm.data").ImageNetInfo().label_names()
    named = list(distinct_words({code: synonyms()[code] for code in codes}).values())
    assert class_words("imagenet", named) == class_words("imagenet", codes)
    assert class_words("imagenet", ["walking stick", "crane bird", "Cardigan Welsh corgi"]) == [
        "stick insect",
        "crane bird",
        "Cardigan Welsh Corgi",
    ]
    # A word of WordNet's that is no class of ImageNet stays.
    assert class_words("imagenet", ["goldfish", "racquetball"]) == ["goldfish", "racquetball"]
    with pytest.raises(UsageError, match="no words for 1 of the data set's 2 classes: my own"):
        class_words("imagenet", ["goldfish", "my own"])


def test_flower_classes_are_found_by_number() -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    folders = sorted(str(i) for i in range(1, 103))
    assert class_words("flowers102", folders) == [
        datasets.Flowers102.classes[int(name) - 1].rstrip("?") for name in folders
    ]


def test_reading_a_file_does_not_load_torch() -> None:
    code = "import sys; from pipeline.class_names.words import class_words; class_words('cifar10', ['cat', 'dog'])"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)
