"""The served bundle: verified before it answers any request, and replaceable while requests are answered."""

import asyncio
import io
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from exporters.bundle.documents import read_drift
from exporters.bundle.golden import check_golden
from exporters.bundle.manifest import (
    DRIFT,
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    SEAL,
    read_file,
    read_listed,
    read_manifest,
    variant_of,
)
from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.core.arrays import read_npz
from exporters.core.errors import GateError
from exporters.drift import DriftReference, DriftWindow
from exporters.runtimes import Provider
from exporters.serving.batching import Batcher, Predict

logger = logging.getLogger(__name__)

_VERSION_DIGITS = 12


@dataclass(frozen=True)
class LoadedBundle:
    """A verified bundle whose model reproduced its golden vectors in this process.

    Args:
        student: its model uses one thread, so that several batches can be computed at once.
        name: from the manifest.
        version: the first digits of the manifest's sha256; equal versions are equal bytes.
        precision: of the model.
        drift: histograms of validation; None where the bundle has none.
    """

    student: Student
    name: str
    version: str
    precision: str
    drift: DriftReference | None = None


def load_bundle(path: Path, precision: str, provider: Provider) -> LoadedBundle:
    """Verify a bundle as the command `verify` does, load it, and check its golden vectors on the loaded model.

    Raises:
        UsageError: no such folder, or no model of that precision in it.
        GateError: damaged, does not reproduce its golden vectors, or was changed meanwhile.
        UnavailableError: onnxruntime or the provider is missing.
    """
    manifest = verify_bundle(path).manifest
    student = Student.load(path, provider, threads=1, precision=precision)
    images = read_npz(GOLDEN_INPUTS, read_listed(path, manifest, GOLDEN_INPUTS), "image")
    logits = read_npz(GOLDEN_OUTPUTS, read_listed(path, manifest, GOLDEN_OUTPUTS), "logits")
    seal = read_file(path, SEAL, 200)
    if read_manifest(path) != manifest:
        raise GateError(f"{path}: the bundle was exchanged while it was loaded", remedy="Load it once more.")
    name = next(name for name in manifest["models"] if variant_of(name) == precision)
    _warm_up(student, images[0])
    check_golden(name, student.logits, images, logits, manifest["models"][name]["golden_tolerance"])
    drift = read_drift(read_listed(path, manifest, DRIFT), manifest) if "drift" in manifest else None
    return LoadedBundle(student, str(manifest["name"]), seal[:_VERSION_DIGITS].decode("ascii"), precision, drift)


def _warm_up(student: Student, image: np.ndarray) -> None:
    """Decode one image, so that Pillow loads its decoders now and not during the first request."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "PNG")
    student.prepare(encoded.getvalue())


@dataclass(frozen=True)
class ServedModel:
    """A loaded bundle with its own batcher, so that a request is answered by the bundle that it began with.

    Args:
        drift: counts the images that it answers; None where nothing is watched.
    """

    bundle: LoadedBundle
    batcher: Batcher
    drift: DriftWindow | None = None

    @property
    def student(self) -> Student:
        """The bundle's student."""
        return self.bundle.student


class ModelHolder:
    """Holds the model that answers, and replaces it. Methods are called in the event loop.

    Args:
        load: reads and verifies the bundle; called in `executor`.
        executor: a thread for `load`, separate from those that answer.
        make_batcher: builds the batcher of one model.
        observe: called with each bundle that is put in place, and with None for one that was refused.
        make_window: builds the window of one model, which watches for drift.
    """

    def __init__(
        self,
        load: Callable[[], LoadedBundle],
        executor: Executor,
        make_batcher: Callable[[Predict], Batcher],
        observe: Callable[[LoadedBundle | None], None],
        make_window: Callable[[LoadedBundle], DriftWindow | None] = lambda _bundle: None,
    ) -> None:
        self._load = load
        self._executor = executor
        self._make_batcher = make_batcher
        self._observe = observe
        self._make_window = make_window
        self._turn = asyncio.Lock()
        self._current: ServedModel | None = None

    @property
    def current(self) -> ServedModel:
        """The model that answers now; a request keeps the one it began with."""
        assert self._current is not None, "a server starts with a model"
        return self._current

    def put(self, bundle: LoadedBundle) -> None:
        """Use this bundle from now on."""
        self._current = ServedModel(bundle, self._make_batcher(bundle.student.logits), self._make_window(bundle))
        self._observe(bundle)

    async def reload(self) -> LoadedBundle:
        """Load the bundle again from its folder, and use it once it is verified; otherwise the old one stays.

        Raises:
            TmkdError: as `load_bundle`; GateError also for a bundle of another name.
        """
        async with self._turn:
            old = self.current.bundle
            try:
                bundle = await asyncio.get_running_loop().run_in_executor(self._executor, self._load)
                if bundle.name != old.name:
                    raise GateError(
                        f"the bundle is now called {bundle.name!r}, and this server answers for {old.name!r}",
                        remedy="Start another server for another model.",
                    )
            except Exception as error:
                self._observe(None)
                logger.error("reload refused, version %s stays: %s", old.version, error, extra={"event": "reload"})
                raise
            self.put(bundle)
            logger.info("reloaded: %s → %s", old.version, bundle.version, extra={"event": "reload"})
            return bundle
