"""Stage `parity`: what ships equals the student, proved on the whole validation split."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.errors import GateError
from exporters.files import write_json
from pipeline.recipe.schema import Recipe
from pipeline.stages.base import Stage, StageContext, settings
from pipeline.stages.inputs import EVALUATION_BATCH, IMAGE_KEYS, Data, read_data

if TYPE_CHECKING:
    from pipeline.data.loading import Batch


class ParityStage(Stage):
    """Writes `parity/parity.json`."""

    name = "parity"
    libraries = ("torch", "onnxruntime", "onnxruntime-gpu", "numpy", "pillow")

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The images, the student and its file."""
        return ("data", "distill", "export")

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Bounds and runtime."""
        return settings(recipe, "parity", *IMAGE_KEYS)

    def run(self, context: StageContext) -> dict[str, Any]:
        """Compare image by image, then judge.

        Raises:
            GateError: the file is not the student; the report is written all the same.
        """
        from exporters.parity import ParityGate, run_parity
        from exporters.runtimes import OnnxRuntime, TorchRuntime
        from exporters.student import load_student

        settings_, folder = context.recipe.parity, self.folder(context)
        student = load_student(context.run.folder("distill") / "chosen")
        candidate = OnnxRuntime(context.run.folder("export") / "model.onnx", settings_.provider)
        report = run_parity(
            TorchRuntime(student),
            candidate,
            validation_batches(read_data(context)),
            ParityGate(**settings_.fp32.model_dump()),
        )
        result = {"split": "validation", "provider": candidate.provider, **report.to_json()}
        write_json(folder / "parity.json", {"fp32": result})
        whole = report.whole
        if whole.max_scaled_error is None or whole.mean_scaled_error is None:
            raise GateError(f"model.onnx is not the student: {'; '.join(report.failures)}")
        context.console.say(
            f"model.onnx on {whole.images:,} validation images: top-1 agreement {100 * whole.top1_agreement:.3f} %,"
            f" accuracy drop {100 * (whole.accuracy_drop or 0):+.3f} points, error max {whole.max_scaled_error:.2e}"
            f" mean {whole.mean_scaled_error:.2e} of the logits' scale"
        )
        if not report.passed:
            raise GateError(
                f"model.onnx is not the student: {'; '.join(report.failures)}",
                remedy=f"{folder / 'parity.json'} names the ten worst images and the bounds that would have passed.",
            )
        return {"top1_agreement": whole.top1_agreement, "max_scaled_error": whole.max_scaled_error}


def validation_batches(data: Data) -> Iterator[tuple[np.ndarray, np.ndarray, list[str]]]:
    """The validation split as a runtime takes it: uint8 `[B, S, S, 3]`, labels `[B]`, file names."""
    paths = data.index.splits["validation"].paths
    for batch in data.loader.evaluation_batches("validation", data.preprocessing, EVALUATION_BATCH):
        yield images_of(batch), batch.labels.numpy(), [paths[index] for index in batch.indices.tolist()]


def images_of(batch: "Batch") -> np.ndarray:
    """The images of a batch as a runtime takes them: uint8 `[B, S, S, 3]`."""
    return np.ascontiguousarray(batch.images.permute(0, 2, 3, 1).numpy())
