"""Every recipe that ships takes a training step: its nets, views, prompts, augmentation and losses, at reduced size."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.catalog import find_recipe, recipe_names
from pipeline.class_names.words import class_words
from pipeline.data.augmentation import Augmentation
from pipeline.distill.build import build_method
from pipeline.distill.registry import METHODS
from pipeline.distill.task import DistillationTask
from pipeline.models.build import Model, build_model
from pipeline.models.clip import Clip, build_clip
from pipeline.randomness import Samples
from pipeline.recipe import load_recipe
from pipeline.recipe.needs import teacher_image_size
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared.networks import build_student, image_geometry
from pipeline.stages.shared.teachers import make_views
from pipeline.stages.teacher import fit_views
from pipeline.tmkd.prompts import Prompts, encode_prompts
from pipeline.tmkd.sampled_views import SampledViews
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.weighting import make_view_weighting
from pipeline.training.optimizer import learning_rate, make_optimizer

LARGEST = 64
"""Nets that halve the image five times keep a map of 2 x 2, without which there are no class activation maps."""

LABELS = ["n01443537", "n02085620", "n01641577"]
"""Codes, as ImageNet and Tiny-ImageNet have; other data sets have words."""


def reduced(name: str) -> Recipe:
    """A recipe at reduced size, nothing to be fetched; the data set is put aside."""
    recipe = load_recipe(name).recipe
    size = min(recipe.data.image_size, LARGEST)
    changes: dict[str, Any] = {
        "data.dataset": "folder", "data.root": ".", "data.image_size": size, "data.resize": size,
        "teacher.visual.weights": "none", "student.weights": "none", "teacher.text.model": "tiny",
        "teacher.text.weights": "fit",
    }  # fmt: skip
    if recipe.teacher.visual.fit is None:
        changes["teacher.visual.fit"] = "{}"
    return load_recipe(name, [f"{key}={value}" for key, value in changes.items()]).recipe


@pytest.fixture(scope="module")
def clip() -> Clip:
    return build_clip("tiny").eval()


def batch(recipe: Recipe) -> torch.Tensor:
    """Two noisy images, varied as the recipe says: `[2, 3, S, S]` in [0, 1]."""
    augment = Augmentation(recipe.data.augment, image_geometry(recipe), recipe.seed)
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 256, (90, 110, 3), dtype=np.uint8)) for _ in range(2)]
    varied = [augment(picture, 0, index) for index, picture in enumerate(pictures)]
    return torch.from_numpy(np.stack(varied)).permute(0, 3, 1, 2).float() / 255


def build_teacher(recipe: Recipe) -> Model:
    visual = recipe.teacher.visual
    return build_model(
        visual.model, visual.arguments, visual.weights, len(LABELS), teacher_image_size(recipe),
        seed=0, purpose="teacher.visual", replace_head=True, mean=visual.mean, std=visual.std,
    )  # fmt: skip


def take_step(task: torch.nn.Module, losses: dict[str, torch.Tensor], settings: Any) -> None:
    """One step of the recipe's optimizer; every parameter stays finite, and some move."""
    assert losses and all(torch.isfinite(loss) for loss in losses.values()), losses
    before = [parameter.detach().clone() for parameter in task.parameters()]
    optimizer = make_optimizer(task, settings)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings, settings.epochs // 3, 1)
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()
    after = list(task.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("name", recipe_names())
def test_teacher_and_student_take_a_training_step(name: str, clip: Clip) -> None:
    recipe = reduced(name)
    images, labels = batch(recipe), torch.tensor([2, 0])
    visual = build_teacher(recipe).tapped
    fit = recipe.teacher.visual.fit
    assert fit is not None

    sampled = SampledViews(fit_views(recipe), 0, "view for the visual teacher")
    logits = visual.train()(sampled(images, sampled.sample(Samples(torch.arange(2), 0)))).logits
    take_step(visual, {"ce": torch.nn.functional.cross_entropy(logits, labels)}, fit)

    visual.eval().requires_grad_(False)
    words = class_words(recipe.teacher.text.class_names, LABELS)
    views = make_views(recipe)
    with torch.no_grad():
        embeddings = encode_prompts(clip.encode_text, Prompts.load(recipe.teacher.text.prompts), words, views.kinds)
    weighting = make_view_weighting(recipe.distill.weighting, embeddings, 1 / clip.temperature.item())
    teacher = MultiViewTeacher(visual, views, weighting, recipe.distill.weighting.temperature, clip.encode_image)
    student = build_student(recipe, len(LABELS)).tapped
    method = build_method(recipe.distill, student.shape, visual.shape, embeddings[0], recipe.train.label_smoothing)
    task = DistillationTask(student, method).train()
    with torch.no_grad():
        guidance = teacher(images, labels)
    losses = task(images, labels, guidance, 1.0)
    expected = {"ce"} | set(METHODS[recipe.distill.base].losses) | {"logits"}
    expected |= {"contrast"} if recipe.distill.contrast.weight else set()
    assert set(losses) == expected
    take_step(task, losses, recipe.train)


@pytest.mark.parametrize("name", recipe_names())
def test_header_describes_the_recipe_and_a_reference_figure(name: str) -> None:
    text = find_recipe(name).read_text(encoding="utf-8")
    header = text.partition("\nname:")[0]
    assert header.startswith("# ") and len(header.splitlines()[0]) <= 125
    if name != "quickstart":
        assert "ublished" in header or "figure" in header


def test_recipes_of_a_data_set_share_its_fragment() -> None:
    """Recipes do not repeat what their fragment says: they hold the networks and what depends on them."""
    for name in recipe_names():
        text = find_recipe(name).read_text(encoding="utf-8")
        family = name.partition("_")[0]
        if family in ("cub", "cifar100", "imagenet"):
            assert f"base/{family}" in text and "\ndata:" not in text, name


def test_students_take_pretrained_weights_with_another_classifier(tmp_path: Any) -> None:
    for name in recipe_names():
        recipe = load_recipe(name, ["data.dataset=folder", "data.root=."]).recipe
        student, size = recipe.student, min(recipe.data.image_size, LARGEST)
        build = {"seed": 0, "purpose": "student", "replace_head": True}
        published = build_model(student.model, student.arguments, "none", 9, size, **build)
        state = {key: torch.full_like(value, 0.25) for key, value in published.tapped.network.state_dict().items()}
        torch.save({"state_dict": state}, tmp_path / "net.pth")
        loaded = build_model(student.model, student.arguments, str(tmp_path / "net.pth"), 4, size, **build)
        assert loaded.weights is not None and loaded.weights.head_replaced, name
        own = loaded.tapped.network.state_dict()
        kept = [key for key in own if torch.equal(own[key], state[key])] if own.keys() == state.keys() else []
        assert 0 < len(own) - len(kept) <= 2, name  # weight and bias of the classifier
