"""The form of `manifest.json`: every key with its type and bounds, so that nothing else can hide there.

`manifest.schema.json` says the same to other programs, without the bounds and open to more keys.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from exporters.core.temperature import LEAST, MOST

MOST_CLASSES = 2**15
"""ImageNet-21k has 21,841."""

MIN_GOLDEN_IMAGES, MOST_GOLDEN_IMAGES = 8, 64

NAME = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}"
"""Of a student; a recipe's `name` is one."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
DigestOrNone = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]
Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Count = Annotated[int, Field(ge=0, le=2**40)]


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class FileForm(_Form):
    """A file of the bundle."""

    sha256: Sha256
    size: Count


class TensorForm(_Form):
    """A tensor of a model, and what of the student it is."""

    name: Annotated[str, StringConstraints(max_length=512)]
    dtype: Word
    dims: Annotated[list[Count], Field(max_length=16)]
    sha256: Sha256
    origin: Line


class KnownModelForm(_Form):
    """The least score of an image that a model knows, and how many images of each kind score below it."""

    threshold: Annotated[float, Field(ge=-1e9, le=1e9)]
    refused: Annotated[dict[Word, Count], Field(max_length=32)]


class ModelForm(_Form):
    """An ONNX file."""

    precision: Literal["fp32", "fp16", "int8"]
    size: Count
    opset: Annotated[int, Field(ge=0, le=1000)]
    ir_version: Annotated[int, Field(ge=0, le=1000)]
    golden_tolerance: Annotated[float, Field(gt=0, le=1e9)]
    cam_tolerance: Annotated[float, Field(gt=0, le=1e9)] = 0.0
    known: KnownModelForm = None  # type: ignore[assignment]  # absent where none are told apart; null is refused
    operators: Annotated[dict[Word, Count], Field(max_length=300)]
    initializers: Annotated[list[TensorForm], Field(max_length=20_000)]


class LibraryForm(_Form):
    """The TensorRT of an engine."""

    name: Literal["tensorrt", "tensorrt_rtx"]
    version: Word


class ShapesForm(_Form):
    """The smallest, likeliest and largest input of an engine."""

    min: Annotated[list[Count], Field(min_length=4, max_length=4)]
    opt: Annotated[list[Count], Field(min_length=4, max_length=4)]
    max: Annotated[list[Count], Field(min_length=4, max_length=4)]


class ProfileForm(_Form):
    """The profile of an engine of a dynamic batch."""

    image: ShapesForm


class EngineForm(_Form):
    """A TensorRT engine."""

    source: Word
    precision: Literal["fp32", "fp16", "int8"]
    library: LibraryForm
    gpu: Line
    compute_capabilities: Annotated[list[Word], Field(max_length=64)]
    profile: ProfileForm | None


class OpenVinoForm(_Form):
    """A network of OpenVINO IR; its weights lie beside it."""

    precision: Literal["fp32", "fp16"]
    version: Word
    golden_tolerance: Annotated[float, Field(gt=0, le=1e9)]
    cam_tolerance: Annotated[float, Field(gt=0, le=1e9)] = 0.0
    operators: Annotated[dict[Word, Count], Field(max_length=300)]


class GoldenForm(_Form):
    """The golden vectors."""

    images: Annotated[int, Field(ge=MIN_GOLDEN_IMAGES, le=MOST_GOLDEN_IMAGES)]


class CamForm(_Form):
    """The size of the class activation maps."""

    height: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]


class KnownForm(_Form):
    """How images that are none of the classes are told apart, and the score of each golden image."""

    score: Literal["energy", "max_softmax"]
    false_alarms: Annotated[float, Field(gt=0, le=0.5)]
    images: Annotated[dict[Word, Annotated[int, Field(ge=1, le=2**40)]], Field(max_length=32)]
    golden: Annotated[list[float], Field(min_length=MIN_GOLDEN_IMAGES, max_length=MOST_GOLDEN_IMAGES)]


class CalibratedForm(_Form):
    """Negative log-likelihood (nats) and expected calibration error on a split, at temperature 1 and as calibrated."""

    images: Annotated[int, Field(ge=1, le=2**40)]
    nll_before: Annotated[float, Field(ge=0, le=1e9)]
    nll_after: Annotated[float, Field(ge=0, le=1e9)]
    ece_before: Annotated[float, Field(ge=0, le=1)]
    ece_after: Annotated[float, Field(ge=0, le=1)]


class CalibrationForm(_Form):
    """The temperature of the probabilities, and what it is worth in each split."""

    temperature: Annotated[float, Field(ge=LEAST, le=MOST)]
    splits: Annotated[dict[Word, CalibratedForm], Field(max_length=8)]


class DriftForm(_Form):
    """The images whose histograms `drift.json` holds."""

    images: Annotated[int, Field(ge=1, le=2**20)]


class AnswersForm(_Form):
    """How many images of a class there were, and how many of them were answered rightly."""

    images: Count
    correct: Count


class ResultForm(_Form):
    """What was answered in a split."""

    images: Annotated[int, Field(ge=1, le=2**40)]
    correct: Count
    sha256: Sha256
    per_class: Annotated[dict[str, AnswersForm], Field(max_length=MOST_CLASSES)]


class FactsForm(_Form):
    """Where the student comes from; the values of `teacher`, `metrics` and `data` are free, and bounded in all."""

    recipe_sha256: DigestOrNone
    data_fingerprint: DigestOrNone
    licences: Annotated[dict[Word, Line | None], Field(max_length=16)]
    teacher: dict[Line, JsonValue]
    versions: Annotated[dict[Word, Word], Field(max_length=64)]
    metrics: dict[Line, JsonValue]
    data: dict[Line, JsonValue]
    results: Annotated[dict[Word, ResultForm], Field(max_length=8)]
    command: Annotated[str, StringConstraints(max_length=1024)]
    provenance: Annotated[str, StringConstraints(max_length=4096)]


class ManifestForm(_Form):
    """The whole manifest."""

    format: str
    name: Name
    version: Word
    architecture: Line
    parameters: Annotated[int, Field(ge=1, le=2**40)]
    classes: Annotated[int, Field(ge=2, le=MOST_CLASSES)]
    models: Annotated[dict[Word, ModelForm], Field(max_length=16)]
    engines: Annotated[dict[Word, EngineForm], Field(max_length=16)] = {}
    openvino: Annotated[dict[Word, OpenVinoForm], Field(max_length=2)] = {}  # absent where there are none
    golden: GoldenForm
    cam: CamForm = None  # type: ignore[assignment]  # absent where there are no maps; null is refused
    known: KnownForm = None  # type: ignore[assignment]  # absent where none are told apart; null is refused
    calibration: CalibrationForm = None  # type: ignore[assignment]  # likewise, where there is no temperature
    drift: DriftForm = None  # type: ignore[assignment]  # absent where there are no histograms
    facts: FactsForm
    files: Annotated[dict[Annotated[str, StringConstraints(max_length=300)], FileForm], Field(max_length=64)]


def malformed(manifest: Any) -> str | None:
    """Where a parsed manifest has another form, and how, as one line; None where it has this one."""
    try:
        ManifestForm.model_validate(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part)[:80] for part in first["loc"] if part != "[key]") or "the whole"
        if first["type"] == "extra_forbidden":
            return f"{place}: no key of a manifest"
        return f"{place}: {first['msg'][:200]}"
    return None
