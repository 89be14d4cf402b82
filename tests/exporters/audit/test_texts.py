import json

import pytest

from exporters.audit.texts import audit_manifest, audit_texts, check_paths
from exporters.core.errors import GateError


@pytest.mark.parametrize(
    "text",
    [
        "/home/ada/x.pth", "see /Users/ada", "(/root/run)", '"/workspace/a"', "/mnt/c/x", "~/x", "C:\\Users\\ada",
        "d:\\x",
        "\\\\server\\share", "file:///x", "weights=/data/teacher.pt", "/tmp/x", "a\n/var/x", "/opt/.cache",
    ],
)  # fmt: skip
def test_local_paths_are_refused(text: str) -> None:
    with pytest.raises(GateError, match=r"f\.json: tells about the machine"):
        check_paths("f.json", [text])


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/home/x", "runs/quickstart/bundle", "images/home/x.jpg", "/m/01yrx", "N/A", "and/or",
        "top-1 / top-5", "a/var/b", "./data/x", "../data/x", "val/bin/3.png", "2 of 255", "gate:\nnext", "/home",
        "home/ada", "é/tmp/x", "layer1.0/conv", "rate: 1e-4", "~4 %", "x:\\", "/library/x", "/layer/root/Conv",
    ],
)  # fmt: skip
def test_other_texts_are_not_taken_for_local_paths(text: str) -> None:
    check_paths("f.json", [text])


def test_allowed_text_grows_with_the_classes() -> None:
    text = b"- a line of a card\n" * 10_000
    with pytest.raises(GateError, match="more than such a file needs for 10 classes"):
        audit_texts({"MODEL_CARD.md": text}, 10)
    audit_texts({"MODEL_CARD.md": text, "model.onnx": b"\x80", "labels.json": b'["a", "b"]'}, 200)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.md", b"\xff", "not text"),
        ("a.yaml", b"a\0", "not text"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b'["/home/ada"]', "/home/ada"),
        ("a.json", b'{"/home/ada": 1}', "/home/ada"),
        ("a.json", str(list(range(65))).encode(), "a list of 65 numbers"),
        ("a.json", b'{"a": ["' + b"x" * 5000 + b'"]}', "a text of 5,000 characters"),
        ("a.txt", b"x" * 5000, "a line of more than 4,096"),
    ],
)
def test_suspicious_texts_are_refused(name: str, data: bytes, words: str) -> None:
    with pytest.raises(GateError, match=words) as caught:
        audit_texts({name: data}, 10)
    assert caught.value.message.startswith(f"{name}: ")


def test_the_manifest_grows_with_the_tensors() -> None:
    entries = [{"name": f"tensor {index}", "sha256": "a" * 64} for index in range(5000)]
    models = {"model.onnx": {"initializers": entries}}
    audit_manifest("manifest.json", {"classes": 2, "models": models})
    with pytest.raises(GateError, match="more than a manifest of 5,000 tensors"):
        audit_manifest("manifest.json", {"classes": 2, "models": models, "more": ["0123456789abcdef"] * 400_000})


def refusal(name: str, data: bytes, classes: int = 10) -> str:
    """The message of the refusal; empty if the text is accepted."""
    try:
        audit_texts({name: data}, classes)
    except GateError as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("parity.json", 2**19),
        ("labels.json", 2**10 + 10 * 1024),
        ("sbom.cdx.json", 2**17),
        ("benchmark.json", 2**17),
        ("drift.json", 2**13),
        ("MODEL_CARD.md", 2**17 + 10 * 512),
        ("labels.txt", 2**10 + 10 * 1024),
        ("triton/finches/config.pbtxt", 2**13),
        ("model.yaml", 2**13),
    ],
)
def test_size_of_each_kind_of_file_is_bounded(name: str, most: int) -> None:
    text = b"[" + b"\n" * (most - 2) + b"]"
    assert refusal(name, text) == ""
    expected = f"{name}: {most + 1:,} bytes are more than such a file needs for 10 classes"
    assert refusal(name, text + b"\n") == expected


@pytest.mark.parametrize(
    ("name", "fits", "exceeds", "words"),
    [
        ("a.md", b"x" * 4096, b"x" * 4097, "holds a line of more than 4,096 characters"),
        ("a.md", "é".encode() * 4096, "é".encode() * 4097, "holds a line of more than 4,096 characters"),
        ("a.json", b'["' + b"x" * 4096 + b'"]', b'["' + b"x" * 4097 + b'"]', "holds a text of 4,097 characters"),
        ("a.json", str([0.5] * 64).encode(), str([0.5] * 65).encode(), "holds a list of 65 numbers"),
        (
            "a.json",
            b"[" + b'1, "x", ' * 64 + b"2.5]",
            b"[" + b'1, "x", ' * 64 + b"2, 3]",
            "holds a list of 130 numbers",
        ),
        ("a.json", b'["fine", {}]', b'["~/x", {}]', "tells about the machine"),
        ("a.json", b'["fine", {"a": 1}, []]', b'["~/x", {"a": 1}, []]', "tells about the machine"),
        ("a.json", b'{"a": [[1, 2], {"b": []}]}', b'{"a": [[1, 2], {"b": ["~/x"]}]}', "tells about the machine"),
    ],
    ids=["line", "letters", "text", "numbers", "mixed", "before an object", "before a list", "nested"],
)
def test_texts_and_lists_as_long_as_weights_are_refused(name: str, fits: bytes, exceeds: bytes, words: str) -> None:
    if words == "holds a list of 130 numbers":
        fits = fits.replace(b", 2.5]", b"]")  # 64 numbers among texts
    assert refusal(name, fits) == ""
    assert refusal(name, exceeds).startswith(f"{name}: {words}")


def test_every_text_is_looked_at_whatever_comes_before_it() -> None:
    before = {"a.onnx": b"\xff", "b.json": b"[]", "c.md": b"fine"}
    audit_texts(before, 10)
    for name in ("d.json", "d.md", "d.txt", "d.yaml", "d.pbtxt"):
        text = b'["/home/ada/x"]'
        with pytest.raises(GateError, match=rf"^{name}: tells about the machine"):
            audit_texts({**before, name: text}, 10)


def test_path_is_shown_from_its_beginning_to_the_end_of_its_line() -> None:
    long = "/home/ada/" + "x" * 80
    for text, shown in ((f"see {long}", long[:60]), ("a: 1\nb: /home/ada\nc: 2", "/home/ada")):
        with pytest.raises(GateError) as caught:
            check_paths("a.md", ["fine", text])
        assert caught.value.message == f"a.md: tells about the machine that it was made on: {shown!r}"


def manifest(size: int, classes: int = 2, tensors: tuple[int, ...] = (3, 1)) -> dict[str, object]:
    """A manifest of so many characters."""
    models = {f"{index}.onnx": {"initializers": [{}] * count} for index, count in enumerate(tensors)}
    made = {"classes": classes, "models": models, "more": [""]}
    left = size - len(json.dumps(made))
    whole, rest = divmod(left, 104)
    return {**made, "more": ["x" * 100] * whole + ["x" * rest]}


def test_manifest_may_have_so_many_bytes_for_each_class_and_tensor() -> None:
    most = 2**17 + 1024 * (2 + 4)
    fits, exceeds = manifest(most), manifest(most + 1)
    assert (len(json.dumps(fits)), len(json.dumps(exceeds))) == (most, most + 1)
    audit_manifest("manifest.json", fits)
    with pytest.raises(GateError, match=r"^manifest\.json: 137,217 bytes are more than a manifest of 4 tensors needs"):
        audit_manifest("manifest.json", exceeds)


def test_values_of_the_manifest_are_looked_at() -> None:
    for value, words in (([1] * 65, "a list of 65 numbers"), ("/home/ada/x", "tells about"), ("x" * 4097, "a text of")):
        with pytest.raises(GateError, match=rf"^manifest\.json: .*{words}"):
            audit_manifest("manifest.json", {"classes": 2, "models": {}, "more": {"deep": value}})
