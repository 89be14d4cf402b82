import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.catalog import prompt_names
from pipeline.tmkd.prompts import Prompts, encode_prompts, encode_random_prompts
from pipeline.tmkd.random_prompts import random_prompt
from pipeline.tmkd.views.settings import VIEW_KINDS


def fake_tower(texts: list[str]) -> torch.Tensor:
    """A text tower with real numbers behind it: a fixed vector per text, of any length."""
    seeds = [np.frombuffer(text.encode(), dtype=np.uint8) for text in texts]
    return torch.tensor(np.stack([np.random.default_rng(seed).normal(size=6) * 3 for seed in seeds]))


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", prompt_names())
def test_shipped_prompts_are_complete_and_distinct(name: str) -> None:
    prompts = Prompts.load(name)
    assert set(prompts.views) == {"rgb", *VIEW_KINDS}
    everything = [template for templates in prompts.views.values() for template in templates]
    assert all(len(templates) >= 4 for templates in prompts.views.values())
    assert len(set(everything)) == len(everything)
    assert all(template.count("{}") == 1 for template in everything)
    assert all(template == " ".join(template.split()) for template in everything)


def test_prompts_of_every_kind_ship() -> None:
    kinds = {"aircraft", "birds", "cars", "dogs", "flowers", "food", "generic", "pets", "scenes", "textures"}
    assert kinds | {"small_objects"} <= set(prompt_names())
    shared = [set(Prompts.load(name).views["rgb"]) for name in prompt_names()]
    assert len(set().union(*shared)) == sum(map(len, shared))  # each speaks of its own kind of things


@pytest.mark.parametrize("name", prompt_names())
def test_prompts_fit_into_clips_context_with_a_long_name(name: str) -> None:
    tokenizer = pytest.importorskip("open_clip").tokenizer.SimpleTokenizer()
    long_name = "Chevrolet Silverado 1500 Hybrid Crew Cab 2012 with a very long wheelbase and the old trim"
    for view in Prompts.load(name).views:
        for text in Prompts.load(name).texts(long_name, view):
            assert len(tokenizer.encode(text)) + 2 <= 77, text  # with its start and its end
        # The small CLIP that is trained on the data reads 32 tokens.
        for text in Prompts.load(name).texts("scissor tailed flycatcher", view):
            assert len(tokenizer.encode(text)) + 2 <= 32, text


def test_a_path_is_read_and_views_fall_back(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("views:\n  rgb: ['a {}.']\n  edge: ['lines of a {}.']\n  bold: ['bold {} {}']\n")
    prompts = Prompts.load(str(path))
    assert prompts.templates("bold", "edge") == ("bold {} {}",)
    assert prompts.templates("faint", "edge") == ("lines of a {}.",)
    assert prompts.templates("texture", "high_frequency") == ("a {}.",)
    assert prompts.templates("texture") == ("a {}.",)
    assert prompts.texts("cat {x}", "bold") == ["bold cat {x} cat {x}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("views: [", "line 1"),
        ("- a", "expected a mapping"),
        ("view: {}", "unknown key 'view'"),
        ("views: [a]", "views: expected a mapping"),
        ("views: {edge: ['a {}']}", "views.rgb: missing"),
        ("views: {rgb: []}", "views.rgb: expected a list"),
        ("views: {rgb: 'a {}'}", "views.rgb: expected a list"),
        ("views: {rgb: ['a {}', 'a bird']}", r"views.rgb\[1\]: expected text with {}"),
        ("views: {rgb: [3]}", r"views.rgb\[0\]"),
        ("views: {rgb: ['a {}'], rgb: ['b {}']}", "line 1: views.rgb: given twice"),
        ("views:\n  rgb: [1:30]", "line 2: views.rgb\\[0\\]: 1:30 is read as 90"),
        ("views: {rgb: [2024-13-45]}", r"views.rgb\[0\]: expected text with {}"),
        ('views: {rgb: ["\\UFFFFFFFF {}"]}', "line 1: not valid YAML"),
        ("", "expected a mapping"),
    ],
)
def test_bad_file_is_refused_with_its_key(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=expected) as caught:
        Prompts.load(str(path))
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_all_mistakes_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("extra: 1\nviews: {edge: [], high_frequency: ['none']}\n")
    with pytest.raises(UsageError) as caught:
        Prompts.load(str(path))
    for place in ("'extra'", "views.rgb", "views.edge", "views.high_frequency[0]"):
        assert place in str(caught.value)


@given(
    content=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["views", "rgb", "edge"]) | st.integers(), inner)
        ),
        max_leaves=8,
    )
)
@settings(deadline=None, max_examples=80)
def test_any_yaml_is_either_prompts_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: object) -> None:
    import yaml

    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        prompts = Prompts.load(str(path))
    except UsageError:
        return
    assert prompts.templates("rgb")


def test_unreadable_or_missing_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match="cannot be read"):
        Prompts.load(str(path))
    for name in ("brids", "../recipes/quickstart"):
        with pytest.raises(UsageError, match="no prompts") as caught:
            Prompts.load(name)
        assert "birds, cars" in str(caught.value)


@given(
    classes=st.lists(st.text("abc{} ", min_size=1, max_size=5), min_size=1, max_size=5, unique=True),
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
@settings(deadline=None, max_examples=30)
def test_embeddings_equal_the_formula(classes: list[str], counts: list[int]) -> None:
    names = ("rgb", "edge", "high_frequency")[: len(counts)]
    templates = {
        name: tuple(f"{name} {i} {{}}" for i in range(count)) for name, count in zip(names, counts, strict=True)
    }
    result = encode_prompts(fake_tower, Prompts(templates), classes, names)
    assert result.dtype == torch.float32
    assert result.shape == (len(names), len(classes), 6)
    for v, name in enumerate(names):
        for k, class_name in enumerate(classes):
            texts = [f"{name} {i} {class_name}" for i in range(counts[v])]
            expected = unit(unit(fake_tower(texts).numpy()).mean(axis=0))
            np.testing.assert_allclose(result[v, k].numpy(), expected, atol=1e-5)


def test_random_embeddings_are_those_of_the_random_prompts() -> None:
    views = ("rgb", "edge", "own")
    result = encode_random_prompts(fake_tower, 5, 130, views)
    assert result.dtype == torch.float32 and result.shape == (3, 130, 6)
    for v, view in enumerate(views):
        expected = unit(fake_tower([random_prompt(5, view, label) for label in range(130)]).numpy())
        np.testing.assert_allclose(result[v].numpy(), expected, atol=1e-6)
    assert torch.equal(encode_random_prompts(fake_tower, 5, 130, views), result)
    assert len(np.unique(result.reshape(-1, 6).numpy().round(5), axis=0)) == 390
    # A view more or a class less leaves the others as they are.
    assert torch.equal(encode_random_prompts(fake_tower, 5, 7, ("edge",))[0], result[1, :7])


def test_the_same_templates_give_the_same_embeddings_in_every_view() -> None:
    prompts = Prompts({"rgb": ("a {}.", "one {}.")})
    result = encode_prompts(fake_tower, prompts, ["cat", "dog"], {"rgb": "rgb", "bold": "edge", "fine": "fine"})
    assert torch.equal(result[1], result[0])
    assert torch.equal(result[2], result[0])


def test_a_view_of_another_name_takes_the_templates_of_its_kind() -> None:
    prompts = Prompts({"rgb": ("a {}.",), "edge": ("lines of a {}.",)})
    by_kind = encode_prompts(fake_tower, prompts, ["cat"], {"bold": "edge"})
    assert torch.equal(by_kind, encode_prompts(fake_tower, prompts, ["cat"], ("edge",)))


def test_a_view_takes_the_templates_of_its_own_name_before_those_of_its_kind() -> None:
    prompts = Prompts({"rgb": ("a {}.",), "edge": ("lines of a {}.",), "bold": ("a bold {}.",)})
    by_name = encode_prompts(fake_tower, prompts, ["cat"], {"bold": "edge"})
    np.testing.assert_allclose(by_name[0].numpy(), unit(fake_tower(["a bold cat."]).numpy()), atol=1e-6)


def test_texts_are_encoded_once_in_small_batches() -> None:
    seen: list[list[str]] = []

    def tower(texts: list[str]) -> torch.Tensor:
        seen.append(texts)
        return fake_tower(texts)

    prompts = Prompts({"rgb": ("a {}.", "one {}.")})
    classes = [f"class {i}" for i in range(200)]
    result = encode_prompts(tower, prompts, classes, ("rgb", "edge"))
    assert [len(texts) for texts in seen] == [256, 144]
    assert len({text for texts in seen for text in texts}) == 400
    assert not result.requires_grad


def test_reading_prompts_does_not_load_torch() -> None:
    code = "import sys; from pipeline.tmkd.prompts import Prompts; Prompts.load('birds')"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)
