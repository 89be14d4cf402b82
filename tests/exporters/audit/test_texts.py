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
