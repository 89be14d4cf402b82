"""Classify images with a bundle: numpy, Pillow and onnxruntime are all it takes.

student = Student.load("runs/quickstart/bundle")
student.predict("bird.jpg")  # [("red-crested striped finch", 0.93), …]
student.explain("bird.jpg").picture.save("why.png")  # of a bundle with class activation maps
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from exporters.bundle.documents import read_labels, read_preprocessing
from exporters.bundle.manifest import (
    LABELS,
    PREPROCESS,
    read_listed,
    read_manifest,
    temperature_of,
    variant_of,
)
from exporters.bundle.place import bundle_of
from exporters.core.arrays import softmax
from exporters.core.errors import UnavailableError, UsageError
from exporters.core.known import KnownRule, rule_of
from exporters.images.decoding import open_rgb
from exporters.images.overlay import overlay_on_photo
from exporters.images.preprocessing import Preprocessing
from exporters.runtimes import OnnxRuntime, Provider

ImageSource = str | Path | bytes | Image.Image | np.ndarray


@dataclass(frozen=True)
class Answer:
    """What a student answers to an image.

    Attributes:
        labels: as `Student.predict` gives them.
        known: whether the image is like the training data; False: it is probably none of the labels. None: this bundle
            does not tell.
        score: what that follows from, as `known_scores` of `exporters.core.known` gives it; None likewise.
    """

    labels: list[tuple[str, float]]
    known: bool | None
    score: float | None


@dataclass(frozen=True)
class Explanation:
    """What a student answers to an image, and where it looks.

    Attributes:
        labels: as `Student.predict` gives them.
        cam: the class activation map of the first label, float32 `[h, w]`, over the square that the model saw; not
            scaled: its mean plus the class's bias is the logit.
        picture: the photograph with the map over it.
        known, score: as those of an `Answer`.
    """

    labels: list[tuple[str, float]]
    cam: np.ndarray
    picture: Image.Image
    known: bool | None = None
    score: float | None = None


class Student:
    """A bundle's classifier. `labels`, `preprocessing` and `temperature` are those of the bundle; so is `known_rule`,
    None where the bundle does not tell images apart that are none of the labels.
    """

    def __init__(
        self,
        runtime: OnnxRuntime,
        labels: list[str],
        preprocessing: Preprocessing,
        known_rule: KnownRule | None = None,
        temperature: float = 1.0,
    ) -> None:
        self._runtime = runtime
        self.labels = labels
        self.preprocessing = preprocessing
        self.known_rule = known_rule
        self.temperature = temperature

    @classmethod
    def load(
        cls, bundle: Path | str, provider: Provider = "cpu", threads: int | None = None, precision: str = "fp32"
    ) -> "Student":
        """Load a bundle after checking the hashes of what is loaded; `verify_bundle` checks everything.

        Args:
            bundle: the folder, or that of a run or an export that holds it.
            provider: `cpu`, `cuda` or `tensorrt`; never silently another one.
            threads: of one operator; None leaves the choice to ONNX Runtime.
            precision: which of the bundle's models, by its file's name; `fp32` is always there.

        Raises:
            UsageError: no such folder, or no model of that precision in it.
            GateError: damaged, or not a bundle.
            UnavailableError: onnxruntime or the provider is missing.
        """
        folder = bundle_of(Path(bundle))
        manifest = read_manifest(folder)
        models = {variant_of(name): name for name in manifest["models"]}
        if precision not in models:
            raise UsageError(f"{folder} has no {precision} model", remedy=f"It has {', '.join(sorted(models))}.")
        names = (models[precision], LABELS, PREPROCESS)
        model, labels, preprocess = (read_listed(folder, manifest, name) for name in names)
        rule = rule_of(manifest, models[precision])
        runtime = OnnxRuntime(model, provider, threads)
        return cls(runtime, read_labels(labels), read_preprocessing(preprocess), rule, temperature_of(manifest))

    def prepare(self, image: ImageSource) -> np.ndarray:
        """One image as the model takes it, uint8 `[size, size, 3]`.

        Args:
            image: a path, the bytes of an image file, a Pillow image, or a uint8 RGB array `[H, W, 3]`.

        Raises:
            UnreadableImageError: it cannot be decoded.
            UsageError: an array of another type or shape.
        """
        return self.preprocessing.apply(self._opened(image))

    def _opened(self, image: ImageSource) -> Image.Image:
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                raise UsageError(f"an image array is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
            image = Image.fromarray(image)
        return open_rgb(Path(image) if isinstance(image, str) else image)

    def predict(self, image: ImageSource, top: int = 5) -> list[tuple[str, float]]:
        """The `top` most likely labels with their probabilities, most likely first.

        Probabilities are `softmax(logits / temperature)`, with the temperature of the bundle's manifest; 1 where it
        has none.

        Raises:
            UnreadableImageError, UsageError: as `prepare`.
        """
        return self.rank(self.logits(self.prepare(image)[None])[0], top)

    def answer(self, image: ImageSource, top: int = 5) -> Answer:
        """As `predict`, and whether the image is like the training data at all.

        Raises:
            UnreadableImageError, UsageError: as `prepare`.
        """
        return self.answer_of(self.logits(self.prepare(image)[None])[0], top)

    def answer_of(self, logits: np.ndarray, top: int = 5) -> Answer:
        """The answer of logits `[K]`, as `answer` gives it."""
        labels, rule = self.rank(logits, top), self.known_rule
        if rule is None:
            return Answer(labels, None, None)
        return Answer(labels, bool(rule.known(logits[None])[0]), float(rule.scores(logits[None])[0]))

    def explain(self, image: ImageSource, top: int = 5) -> Explanation:
        """As `predict`, and the class activation map of the most likely label, over the image.

        Raises:
            UnavailableError: as `require_cam`.
            UnreadableImageError, UsageError: as `prepare`.
        """
        self.require_cam()
        photo = self._opened(image)
        logits, cam = self._runtime.explain(self.preprocessing.apply(photo)[None])
        picture = overlay_on_photo(photo, self.preprocessing.geometry, cam[0])
        answer = self.answer_of(logits[0], top)
        return Explanation(answer.labels, cam[0], picture, answer.known, answer.score)

    def require_cam(self) -> None:
        """Refuse, by UnavailableError, a bundle whose models give no class activation maps."""
        if self._runtime.map_size is None:
            raise UnavailableError(
                "this bundle's model gives no class activation maps",
                remedy="Make it with export.onnx.cam: true (tmkd-pipeline run RECIPE --set export.onnx.cam=true), or by"
                " tmkd-pipeline export … --bundle --cam.",
            )

    def rank(self, logits: np.ndarray, top: int = 5) -> list[tuple[str, float]]:
        """The `top` most likely labels of logits `[K]`, as `predict` gives them."""
        probabilities = softmax(logits, self.temperature)
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.labels[index], float(probabilities[index])) for index in order]

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Uint8 `[B, size, size, 3]`, as `prepare` gives them, to float32 logits `[B, K]`."""
        return self._runtime.predict(images)
