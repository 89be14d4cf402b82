"""The teachers as stages read them: their views, weights and towers."""

import numpy as np
import torch
from safetensors.numpy import load_file

from exporters.core.files import write_json
from pipeline.randomness import Samples
from pipeline.recipe import load_recipe
from pipeline.stages.shared.inputs import read_data
from pipeline.stages.shared.networks import read_classifier
from pipeline.stages.shared.teachers import (
    make_fitted_views,
    make_views,
    read_choice,
    read_teacher,
    read_teacher_parts,
    read_text_teacher,
    student_views,
)
from pipeline.tmkd.choice import FusionChoice, ScoreStatistics
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.candidates import CANDIDATES, FITTED
from pipeline.tmkd.views.settings import EdgeView, HighFrequencyView, default_views
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weighting import uniform_weighting
from pipeline.training.device import make_fabric
from tests.pipeline.conftest import Outcome, Run
from tests.pipeline.stages.contexts import context_of

NO_VIEWS = "distill.views={}"

QUICKSTART_VIEWS = ("rgb", "edge", "high_frequency", "zoom", "flip")


def test_student_sees_the_teachers_views_only_where_the_recipe_asks_for_it(finished: tuple[Run, Outcome]) -> None:
    shown, plain = load_recipe("quickstart", ["distill.student_views=true"]).recipe, load_recipe("quickstart").recipe
    visual = read_classifier(finished[0].directory / "teacher")
    teachers = [MultiViewTeacher(visual, Views(views), uniform_weighting, 1.0) for views in (default_views(), {})]
    assert student_views(plain, teachers[0]) is None
    assert student_views(shown, None) is None and student_views(shown, teachers[1]) is None
    draws = []
    for seed in (0, 0, 1):
        views = student_views(
            load_recipe("quickstart", ["distill.student_views=true", f"seed={seed}"]).recipe, teachers[0]
        )
        assert views is not None
        draws.append(views.sample(Samples(torch.arange(200), 4)))
    assert set(draws[0].tolist()) == {0, 1, 2}
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_only_tmkd_has_views() -> None:
    assert make_views(load_recipe("quickstart").recipe).names == QUICKSTART_VIEWS
    assert make_views(load_recipe("quickstart", ["distill.method=kd"]).recipe).names == ("rgb",)
    assert make_views(load_recipe("quickstart", [NO_VIEWS]).recipe).names == ("rgb",)


def test_views_left_open_may_be_any_candidate_and_teachers_are_fitted_on_some() -> None:
    recipe = load_recipe("quickstart", ["distill.views=auto"]).recipe
    assert make_views(recipe).names == ("rgb", *CANDIDATES)
    assert make_fitted_views(recipe).names == ("rgb", *FITTED)
    named = load_recipe("quickstart", ["distill.method=kd"]).recipe
    assert make_fitted_views(named).names == QUICKSTART_VIEWS  # whatever the method


def test_choice_is_the_recipes_where_nothing_is_left_open(finished: tuple[Run, Outcome]) -> None:
    context = context_of(finished[0], distill__weighting__temperature=0.3)
    assert read_choice(context) == FusionChoice(views=default_views(), temperature=0.3)
    assert read_choice(context_of(finished[0], distill__method="kd")).names == ("rgb",)


def test_choice_of_the_stage_fusion_is_read_where_something_is_left_open(run: Run) -> None:
    found = {"views": {"edge": {"kind": "edge", "strength": 0.1}}, "temperature": 0.2,
             "statistics": {"rgb": {"mean": -1.0, "spread": 2.0}, "edge": {"mean": -3.0, "spread": 0.5}}}  # fmt: skip
    write_json(run.directory / "fusion" / "views.json", found)
    choice = read_choice(context_of(run, distill__views="auto"))
    assert choice.views == {"edge": EdgeView(strength=0.1)} and choice.temperature == 0.2
    assert choice.statistics == {name: ScoreStatistics(**values) for name, values in found["statistics"].items()}
    assert read_choice(context_of(run)).views == default_views()


def test_weights_read_the_prompts_of_the_chosen_views(finished: tuple[Run, Outcome]) -> None:
    """The rows of the embeddings go by name, not by place."""
    fabric = make_fabric("cpu", "fp32")
    context = context_of(finished[0])
    parts = read_teacher_parts(context, fabric)
    data = read_data(context)
    batch = next(data.loader.evaluation_batches("validation", data.geometry, 8))
    images = batch.images.float() / 255
    whole = read_teacher(context, fabric)
    every = whole.rule.scores(*_answers(whole, images), batch.labels)
    fine = parts.teacher(FusionChoice(views={"high_frequency": HighFrequencyView()}, temperature=1.0))
    some = fine.rule.scores(*_answers(fine, images), batch.labels)
    np.testing.assert_allclose(some, every[:, [0, 2]], atol=1e-4)


def _answers(teacher: MultiViewTeacher, images: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
    viewed = teacher.look(images)
    return viewed.embeddings, viewed.output.logits


def test_clip_looks_at_no_image_where_rgb_is_alone(finished: tuple[Run, Outcome]) -> None:
    parts = read_teacher_parts(context_of(finished[0]), make_fabric("cpu", "fp32"))
    assert parts.image_tower is not None
    assert not parts.teacher(FusionChoice(views={}, temperature=1.0)).has_image_tower
    assert parts.teacher(FusionChoice(views={"edge": EdgeView()}, temperature=1.0)).has_image_tower


def test_text_teacher_is_loaded_frozen(finished: tuple[Run, Outcome]) -> None:
    text = read_text_teacher(context_of(finished[0]))
    assert text is not None and text.clip is not None
    assert np.allclose(text.embeddings.norm(dim=-1), 1, atol=1e-6) and text.embeddings.shape == (3, 3, 16)
    assert not text.clip.training and not any(parameter.requires_grad for parameter in text.clip.parameters())
    assert read_text_teacher(context_of(finished[0], distill__method="kd")) is None
    unread = read_text_teacher(context_of(finished[0]), looks=False)
    assert unread is not None and unread.clip is None and torch.equal(unread.embeddings, text.embeddings)
    assert np.array_equal(text.weighing, text.embeddings)
    control = read_text_teacher(context_of(finished[0], distill__weighting__by="random_prompts"))
    assert control is not None and control.clip is not None and np.array_equal(control.embeddings, text.embeddings)
    saved = load_file(finished[0].directory / "text" / "embeddings.safetensors")
    assert np.array_equal(control.weighing, saved["random"]) and not np.array_equal(saved["random"], saved["text"])
    uniform = read_text_teacher(context_of(finished[0], distill__weighting__by="uniform"))
    assert uniform is not None and uniform.clip is None
