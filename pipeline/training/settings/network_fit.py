"""The settings of a classifier's training: a preset for what the recipe leaves open, and what its layers ask for."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.settings import problem, unexpected
from pipeline.training.presets import REFERENCE_BATCH, SCHEDULE_KEYS, preset_values
from pipeline.training.settings.fit import FitSettings, NormMomentum
from pipeline.training.settings.schedule import ScheduleSettings

Preset = Literal["auto", "finetune", "scratch", "none"]
PRESETS: tuple[Preset, ...] = ("auto", "finetune", "scratch", "none")


class NetworkFitSettings(FitSettings):
    """A training schedule of a classifier; a text in its place is short for `{preset: <text>}`."""

    preset: Preset = Field(
        default="auto",
        description="Fills in the keys here that are not given. auto: finetune for pretrained weights and scratch"
        " otherwise, but none where optimizer, lr or schedule is given.",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Batches whose gradients are averaged for one step of the optimizer: large steps in little memory.",
    )
    scale_lr: bool = Field(
        default=False,
        description="lr is meant for 256 images a step, and grows with those that there are: in proportion under sgd,"
        " by the square root under adamw.",
    )
    compile: bool = Field(
        default=False,
        description="Compile the network's forward and backward pass: minutes at first, then faster epochs.",
    )
    cuda_graphs: bool = Field(
        default=False,
        description="compile: true only: replay the compiled passes as CUDA graphs, for networks so small that a GPU"
        " waits for the starting of kernels. Needs CUDA.",
    )
    head_epochs: int = Field(
        default=0, ge=0, le=1000, description="The first epochs, in which only the classifier is trained."
    )
    head_lr: float = Field(
        default=1.0,
        ge=0.01,
        le=1000,
        description="Learning rate of the classifier, and of what a method trains in addition to the network, as a"
        " multiple of lr.",
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Learning rate of each stage of the network, as a multiple of that of the stage above it.",
    )
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0, le=1000)]] = Field(
        default="none",
        description="Weights of the classes in the cross-entropy: balanced gives rare classes more, so that all have"
        " the same share; or weights by class name, 1 for those not named.",
    )

    @property
    def batches_per_update(self) -> int:
        """`accumulate`."""
        return self.accumulate

    @property
    def compiles(self) -> bool:
        """`compile`."""
        return self.compile

    @property
    def replays_graphs(self) -> bool:
        """`cuda_graphs`."""
        return self.cuda_graphs

    @property
    def peak_lr(self) -> float:
        """`lr`, scaled with the images of a step if `scale_lr` (Goyal et al. 2017; Malladi et al. 2022)."""
        growth = self.images_per_update / REFERENCE_BATCH
        return self.lr * (1 if not self.scale_lr else growth if self.optimizer == "sgd" else math.sqrt(growth))

    sync_batch_norm: bool = Field(
        default=False,
        description="Whether batch norms see the images of all processes that train together (docs/distributed.md);"
        " with one process of no effect.",
    )

    @property
    def synchronises_batch_norms(self) -> bool:
        """`sync_batch_norm`."""
        return self.sync_batch_norm

    batch_norm_momentum: NormMomentum = Field(
        default="auto",
        description="Share of each batch in the running statistics of batch norms, which validation and what ships use."
        " auto: the network's own, raised in a network without pretrained weights where these would otherwise remember"
        " for longer than an epoch what they began with; network: its own; or a number for all.",
    )

    @property
    def norm_momentum(self) -> NormMomentum:
        """`batch_norm_momentum`."""
        return self.batch_norm_momentum

    @property
    def body_starts(self) -> int:
        """`head_epochs`."""
        return self.head_epochs

    @property
    def rate_factors(self) -> tuple[float, float]:
        """`head_lr` and `layer_decay`."""
        return self.head_lr, self.layer_decay

    @model_validator(mode="before")
    @classmethod
    def _a_text_is_a_preset(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in PRESETS:
            raise unexpected(f"{', '.join(PRESETS)} or a section of keys", PRESETS)
        return {"preset": value}

    @model_validator(mode="after")
    def _graphs_are_of_compiled_code(self) -> Self:
        if self.cuda_graphs and not self.compile:
            raise problem("cuda_graphs", "expected false where @compile is false, got true", "compile")
        return self

    @model_validator(mode="after")
    def _compiled_norms_are_of_one_process(self) -> Self:
        if self.compile and self.sync_batch_norm:
            raise problem("compile", "expected false where @sync_batch_norm is true, got true", "sync_batch_norm")
        return self

    @model_validator(mode="after")
    def _head_epochs_fit_the_epochs(self) -> Self:
        if self.head_epochs >= self.epochs:
            raise problem(
                "head_epochs", f"expected fewer than @epochs ({self.epochs}), got {self.head_epochs}", "epochs"
            )
        return self

    def chosen(self, pretrained: bool, model: str = "") -> Self:
        """These settings with the preset's values for the keys that were not given.

        Args:
            pretrained: whether the network starts from weights, which decides `auto`.
            model: the network's name.

        Returns:
            Settings whose `preset` is `finetune`, `scratch` or `none`; their own values where it is `none`.
        """
        given = self.model_fields_set
        preset = self.preset
        if preset == "auto":
            named = given & SCHEDULE_KEYS
            preset = "none" if named else "finetune" if pretrained else "scratch"
        if preset == "none":
            return self.model_copy(update={"preset": preset})
        optimizer = self.optimizer if "optimizer" in given else None
        values = preset_values(preset, self.epochs, self.images_per_update, optimizer, model)
        if self.momentum == 0:  # Nesterov's momentum needs one
            values.pop("nesterov", None)
        schedule: dict[str, Any] = values["schedule"]
        if "schedule" in given:
            own = {key: getattr(self.schedule, key) for key in self.schedule.model_fields_set}
            # A kind of the recipe's own is a whole schedule; one_cycle takes none of the other keys.
            schedule = own if "kind" in own or schedule["kind"] == "one_cycle" else schedule | own
        values = {key: value for key, value in values.items() if key not in given}
        values |= {"schedule": ScheduleSettings(**schedule), "preset": preset}
        if "lr" in values:  # it follows the images of a step already
            values["scale_lr"] = False
        return self.model_copy(update=values)
