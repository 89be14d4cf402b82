import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.runner import fingerprint
from pipeline.runner.fingerprint import code_digest, digest, libraries_digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(), JSON, min_size=2, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_count(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert digest(dict(items)) == digest(value)


@settings(deadline=None, max_examples=60)
@given(st.lists(JSON, max_size=3), JSON)
def test_every_value_and_the_order_of_lists_count(values: list[Any], other: Any) -> None:
    assert digest([*values, other]) != digest(values)
    assert digest({"a": other}) != digest({"b": other})
    assert digest([1, 2]) != digest([2, 1]) and digest(1) != digest("1") and digest(None) != digest({})


def test_digest_is_that_of_the_canonical_text() -> None:
    text = b'{"a":[1,2.5,null],"b":{"c":"\\u00e9"}}'
    assert digest({"b": {"c": "é"}, "a": [1, 2.5, None]}) == hashlib.sha256(text).hexdigest()


def test_libraries_count_by_name_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    both = libraries_digest(["numpy", "pillow"])
    assert both == libraries_digest(["pillow", "numpy"]) != libraries_digest(["numpy"])
    assert libraries_digest(["numpy"]) != libraries_digest(["no-such-distribution"])
    monkeypatch.setattr(fingerprint, "_version", lambda name: "0.0")
    assert libraries_digest(["numpy", "pillow"]) != both


Write = Callable[..., str]

A = '''"""Module."""
from pipeline.b import helper


def work(x: int) -> int:
    """Work."""
    return helper(x) + 1
'''
B = "def helper(x: int) -> int:\n    import pipeline.c.d\n\n    return pipeline.c.d.VALUE * x\n"


def forget() -> None:
    """As if this process had read no code yet."""
    fingerprint._read.cache_clear()
    fingerprint._code_digest.cache_clear()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write modules into a package of its own and give the digest of `pipeline.a`."""
    monkeypatch.setattr(fingerprint, "_ROOT", tmp_path)

    def write_(**files: str) -> str:
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        forget()
        return code_digest(["pipeline.a"])

    write_(pipeline__a=A, pipeline__b=B, pipeline__c__d="VALUE = 3\n")
    (tmp_path / "pipeline" / "c" / "__init__.py").write_text("")
    yield write_
    forget()


@pytest.mark.parametrize(
    "changed",
    [
        "# A comment.\n" + A,
        A.replace('"""Work."""', '"""Works hard, as it should."""'),
        A.replace('"""Module."""', '"""Another module."""'),
        A.replace('    """Work."""\n', ""),
        A.replace('"""Module."""\n', ""),
        A.replace("helper(x) + 1", "(  helper(x)\n        + 1)  # why"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(write: Write, changed: str) -> None:
    before = write()
    assert changed != A and write(pipeline__a=changed) == before


@pytest.mark.parametrize(
    "changed",
    [
        A.replace("+ 1", "+ 2"),
        A.replace("(x) + 1", "(x) - 1"),
        A.replace("x: int", "y: int").replace("(x)", "(y)"),
        A + "NAME = 'a docstring is no statement, this is'\n",
        A.replace('"""Work."""', 'text = """Work."""'),
    ],
)
def test_statements_count(write: Write, changed: str) -> None:
    before = write()
    assert changed != A and write(pipeline__a=changed) != before


def test_imported_modules_count_however_deep(write: Write) -> None:
    before = write()
    assert write(pipeline__b=B.replace("* x", "+ x")) != before
    assert write(pipeline__b=B) == before
    assert write(pipeline__c__d="VALUE = 4\n") != before  # imported inside a function of an imported module
    assert write(pipeline__c__d="VALUE = 3  # three\n") == before
    assert write(pipeline____c____e="") == before  # what nothing imports


def test_modules_imported_as_members_of_their_package_count(write: Write) -> None:
    member = B.replace("import pipeline.c.d", "from pipeline.c import d").replace("pipeline.c.d.VALUE", "d.VALUE")
    before = write(pipeline__b=member)
    assert write(pipeline__c__d="VALUE = 4\n") != before


def test_code_of_a_package_counts_in_its_own_file(write: Write, tmp_path: Path) -> None:
    for imported in ("import pipeline.c\n", "from pipeline import c\n"):
        before = write(pipeline__a=imported + A)
        (tmp_path / "pipeline/c/__init__.py").write_text(f"VALUE = {len(imported)}\n")
        assert write() != before


def test_file_of_a_module_counts_before_a_package_of_its_name(write: Write, tmp_path: Path) -> None:
    (tmp_path / "pipeline/b").mkdir()
    before = write()
    (tmp_path / "pipeline/b/__init__.py").write_text("VALUE = 1\n")
    assert write() == before


def test_console_and_error_modules_do_not_count(write: Write) -> None:
    shown = "from pipeline.console import Console\nfrom exporters.core.errors import TmkdError\n" + A
    before = write(pipeline__a=shown, pipeline__console="X = 1\n", exporters__errors="X = 1\n")
    assert write(pipeline__console="X = 2\n", exporters__errors="X = 2\n") == before
    assert write(exporters__files="X = 1\n") == before
    assert write(pipeline__a=shown.replace("exporters.core.errors", "exporters.core.files")) != before


def test_circular_and_foreign_imports_are_handled(write: Write) -> None:
    before = write(pipeline__b="import numpy\nimport pipeline.a\nhelper = abs\n")
    assert before == write() and code_digest(["numpy"]) == code_digest([]) == code_digest(["pipeline.absent"])


def test_a_stage_covers_the_code_that_it_runs() -> None:
    """The real package: what a stage reaches only inside functions is in its digest."""
    forget()
    seen: list[str] = []
    original = fingerprint._source

    def record(root: Path, module: str) -> Path | None:
        path = original(root, module)
        if path is not None:
            seen.append(path.relative_to(root).as_posix())
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "_source", record)
        code_digest(["pipeline.stages.distill", "pipeline.distill.methods.cat_kd"])
    for name in (
        "pipeline/tmkd/views/edge.py", "pipeline/tmkd/weighting.py", "pipeline/tmkd/fusion.py",
        "pipeline/training/loop.py",
        "pipeline/data/loading.py", "pipeline/distill/methods/cat_kd.py", "pipeline/distill/losses.py",
        "pipeline/randomness.py", "exporters/student/student.py", "exporters/images/preprocessing.py",
    ):  # fmt: skip
        assert name in seen
    assert not [name for name in seen if name.startswith(("pipeline/recipe", "pipeline/runner", "pipeline/console"))]
    assert "exporters/onnx/export.py" not in seen and "pipeline/distill/methods/kd.py" not in seen
