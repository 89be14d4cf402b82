"""The schema of a recipe: every section in one place. No key is without effect."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from pipeline.data.settings import DataSettings
from pipeline.distill.settings import AUTO, DistillSettings
from pipeline.recipe.schema.bundle import BundleSettings
from pipeline.recipe.schema.export import ExportSettings
from pipeline.recipe.schema.known import KnownSettings
from pipeline.recipe.schema.lock import LockSettings
from pipeline.recipe.schema.parity import ParitySettings
from pipeline.recipe.schema.student import StudentSettings
from pipeline.recipe.schema.teacher import TeacherSettings
from pipeline.recipe.schema.track import TrackSettings
from pipeline.recipe.schema.train import TrainSettings
from pipeline.recipe.schema.validate import ValidateSettings
from pipeline.recipe.schema.weights import fill_in_hashes
from pipeline.settings import Settings, problem
from pipeline.tmkd.settings import IMAGE_TOWER_WEIGHTINGS
from pipeline.yaml_document import dump_yaml


class Recipe(Settings):
    """From a data set and two teachers to one small classifier that is safe to ship."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = Field(
        default="recipe", description="Name of the run and the bundle; default: the file's name without .yaml."
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of initialization, order and augmentation.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="Where training runs.")
    data: DataSettings = Field(default_factory=DataSettings, description="The images.")
    teacher: TeacherSettings = Field(default_factory=TeacherSettings, description="The two teachers.")
    student: StudentSettings = Field(default_factory=StudentSettings, description="The student.")
    distill: DistillSettings = Field(default_factory=DistillSettings, description="The distillation.")
    train: TrainSettings = Field(default_factory=TrainSettings, description="The student's schedule.")
    # Not called `validate` in Python: pydantic's models have a method of that name.
    gates: ValidateSettings = Field(default_factory=ValidateSettings, alias="validate", description="The gates.")
    export: ExportSettings = Field(default_factory=ExportSettings, description="What is exported.")
    parity: ParitySettings = Field(default_factory=ParitySettings, description="The proof of equality.")
    known: KnownSettings = Field(default_factory=KnownSettings, description="Images that are none of the classes.")
    bundle: BundleSettings = Field(default_factory=BundleSettings, description="The bundle.")
    track: TrackSettings = Field(default_factory=TrackSettings, description="Trackers that are sent the figures.")
    lock: LockSettings | None = Field(
        default=None, description="Written into recipe.lock.yaml: what a run that repeats it is held against."
    )

    @model_validator(mode="after")
    def _preset_is_chosen(self) -> Self:
        # In place, because what a recipe says and what a stage reads should be one value.
        object.__setattr__(self, "train", self.train.chosen(self.student.weights != "none", self.student.model))
        return self

    @model_validator(mode="after")
    def _weighting_has_its_tower(self) -> Self:
        needs_images = self.distill.may_use_tmkd and self.distill.weighting.by in IMAGE_TOWER_WEIGHTINGS
        if needs_images and not self.teacher.text.has_image_tower:
            raise problem(
                "distill.weighting.by",
                "expected teacher_confidence, text or uniform, because the embeddings file of @teacher.text.weights "
                f"has no image tower, got {self.distill.weighting.by}",
                "teacher.text.weights",
                "distill.method",
            )
        return self

    @model_validator(mode="after")
    def _gain_has_its_baseline(self) -> Self:
        action, baseline = self.distill.on_no_gain, self.student.baseline
        if self.distill.method in ("ce", AUTO) or action == "warn" or baseline in ("auto", "full"):
            return self
        if action == "fall_back" or baseline is None:
            got = "null" if baseline is None else f"{baseline:g}"
            what = "is no plain student to ship" if action == "fall_back" else "is nothing to compare with"
            raise problem(
                "distill.on_no_gain",
                f"expected warn where @student.baseline is {got}, because there {what}, got {action}; or set"
                " @student.baseline to full",
                "student.baseline",
                "distill.method",
            )
        return self

    @model_validator(mode="after")
    def _random_prompts_can_be_read(self) -> Self:
        text, wanted = self.teacher.text, self.distill.weighting.by == "random_prompts"
        if self.distill.may_use_tmkd and wanted and text.has_image_tower and not text.has_text_tower:
            raise problem(
                "distill.weighting.by",
                "expected image_text, teacher_confidence, text or uniform, because with the file of "
                "@teacher.text.anchors no text tower is fitted that could read random prompts, got random_prompts",
                "teacher.text.anchors",
                "teacher.text.tower",
                "distill.method",
            )
        return self

    @property
    def fits_on_views(self) -> bool:
        """Whether the visual teacher is fitted on more than the image itself.

        `teacher.visual.fit.views` says so, whatever the method; where it is left open, the method does.
        """
        fit = self.teacher.visual.fit
        if fit is None or not self.distill.views:
            return False
        return self.distill.uses_views if fit.views is None else fit.views

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default written out, as plain YAML and JSON values."""
        values = self.model_dump(mode="json", by_alias=True)
        if self.lock is None:
            del values["lock"]
        values["data"]["resize"] = self.data.resize_to
        if self.distill.method != AUTO:  # each candidate has weights of its own
            values["distill"] |= self.distill.losses.model_dump(mode="json", include={"ce", "feature", "logits"})
        values["distill"]["warmup"] = self.distill.warmup_epochs(self.train.epochs)
        values["train"]["decay_norms_and_biases"] = self.train.decays_norms_and_biases
        values["teacher"]["text"]["fit"]["decay_norms_and_biases"] = self.teacher.text.fit.decays_norms_and_biases
        if self.teacher.visual.fit is not None:
            decays = self.teacher.visual.fit.decays_norms_and_biases
            values["teacher"]["visual"]["fit"]["decay_norms_and_biases"] = decays
            values["teacher"]["visual"]["fit"]["views"] = self.fits_on_views
        return values

    def to_yaml(self) -> str:
        """`resolved()` as the text of `recipe.lock.yaml`, with the hash of each weights file; it gives the same run."""
        values = self.resolved()
        fill_in_hashes(values)
        return dump_yaml(values)
