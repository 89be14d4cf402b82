"""Making variants: ONNX files of lower precision, searched from the fp32 file. Nothing is decided here."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from exporters.artifacts import lines
from exporters.artifacts.context import ArtifactContext
from exporters.artifacts.kinds import VARIANT_KINDS, SearchInputs
from exporters.core.errors import GateError, UnavailableError
from exporters.core.files import write_bytes
from exporters.core.interrupts import interrupts_kept
from exporters.core.progress import working
from exporters.onnx.reader import read_onnx
from exporters.parity import Evidence, ParityGate, ParityResult
from exporters.parity.agreement import refused_by_agreement_alone
from exporters.runtimes import OnnxRuntime, Provider

if TYPE_CHECKING:
    from exporters.onnx.cam import CamSource
    from exporters.quantize import Calibration

GUIDING_IMAGES = 8


@dataclass(frozen=True)
class Variant:
    """A candidate, not yet proved.

    Args:
        name: a key of `VARIANT_KINDS`.
        data: the ONNX file.
        initializers, operators: as `audit_export` and the manifest have them.
        kept_float: nodes that stay in fp32 because the gate needs them so.
        trials: models that the search judged.
        failures: why the search found none that passes its gate; empty where it did.
        not_made: why there is no file; empty where there is one.
        all_in_8_bits: of int8, figures of the file without a layer in float, where only its other answers refuse it
            (`exporters.parity.agreement`); else None.
    """

    name: str
    data: bytes = b""
    initializers: list[dict[str, Any]] = field(default_factory=list)
    operators: dict[str, int] = field(default_factory=dict)
    kept_float: list[str] = field(default_factory=list)
    trials: int = 0
    failures: Sequence[str] = ()
    not_made: str = ""
    all_in_8_bits: dict[str, Any] | None = None

    @property
    def file(self) -> str:
        """Its name in a bundle."""
        return VARIANT_KINDS[self.name].file

    def to_json(self) -> dict[str, Any]:
        """All but the file itself and the search's failures, which the proof finds again."""
        if self.not_made:
            return {"file": self.file, "not_made": self.not_made}
        return {
            "file": self.file,
            "kept_float": self.kept_float,
            "trials": self.trials,
            "initializers": self.initializers,
            "operators": self.operators,
            **({} if self.all_in_8_bits is None else {"all_in_8_bits": self.all_in_8_bits}),
        }

    @classmethod
    def from_json(cls, name: str, entry: Mapping[str, Any], folder: Path) -> Self:
        """The inverse of `to_json`, with the file from a folder."""
        known = {key: value for key, value in entry.items() if key != "file"}
        return cls(name, b"" if "not_made" in entry else (folder / entry["file"]).read_bytes(), **known)


@interrupts_kept()
def make_variant(
    name: str,
    model: bytes,
    initializers: Sequence[Mapping[str, Any]],
    evidence: Evidence,
    gate: ParityGate,
    images: np.ndarray,
    *,
    provider: Provider = "cpu",
    calibration: "Calibration | None" = None,
    cam: "CamSource | None" = None,
) -> Variant:
    """Search the variant with the fewest layers in fp32 that passes; where none does, the best one, for the report.

    Args:
        name: a key of `VARIANT_KINDS`.
        model, initializers: the fp32 file and what `audit_export` found in it.
        evidence: the images that the search judges on, all of them at the largest batch.
        images: a few prepared images, uint8 `[n, S, S, 3]`, that guide the search.
        provider: where it is run.
        calibration: of training images; for int8. Given for both kinds of int8, it measures once.
        cam: as `Fp32` has it: what is found gets the output `cam` too. The search judges logits alone.

    Raises:
        GateError: a tensor of the variant that the fp32 file does not explain.
        UnavailableError: the provider is missing.
    """
    kind = VARIANT_KINDS[name]
    judged: list[ParityResult | None] = []

    def objections(data: bytes) -> Sequence[str]:
        judged.append(None)
        try:
            whole, failures = evidence.judged(OnnxRuntime(data, provider), gate)
        except GateError as error:  # it does not even load
            return [error.message]
        judged[-1] = whole
        return failures

    with working(kind.file):
        found = kind.search(model, SearchInputs(objections, images[:GUIDING_IMAGES], provider, calibration))
        data, kept = found.data, list(found.kept)
        if cam is not None:
            from exporters.onnx.cam import with_cam

            added = with_cam(data, cam, dequantize_row=not kind.for_engine)
            data, kept = added.data, [*kept, *added.kept_float]
        entries = kind.audit(data, model, initializers)
    operators = dict(read_onnx(data).operators)
    figures = None
    if kind.precision == "int8" and judged and judged[0] is not None:  # its first file has all layers in 8 bits
        figures = refused_by_agreement_alone(judged[0], gate)
    failures = tuple(found.failures)
    return Variant(name, data, entries, operators, kept, found.trials, failures, all_in_8_bits=figures)


def make_variants(
    names: Iterable[str],
    model: bytes,
    initializers: Sequence[Mapping[str, Any]],
    folder: Path,
    context: ArtifactContext,
    calibration: "Calibration | None" = None,
    cam: "CamSource | None" = None,
) -> dict[str, Variant]:
    """Search each variant and write it into a folder; one that cannot be made is reported, and the others are made.

    Args:
        names: keys of `VARIANT_KINDS`.
        model, initializers, calibration, cam: as `make_variant` takes them.

    Raises:
        UsageError: images that nothing can be calibrated on.
    """
    variants = {}
    for name in names:
        try:
            with _trials_reported(VARIANT_KINDS[name].file, context):
                variant = make_variant(
                    name,
                    model,
                    initializers,
                    context.evidence,
                    context.gate(name),
                    context.images,
                    provider=context.provider,
                    calibration=calibration,
                    cam=cam,
                )
        except (GateError, UnavailableError) as error:
            variant = Variant(name, not_made=error.message)
            context.warn(f"{variant.file} could not be made: {error.message}")
        else:
            write_bytes(folder / variant.file, variant.data)
            context.say(lines.made(variant))
        variants[name] = variant
    return variants


@contextmanager
def _trials_reported(file: str, context: ArtifactContext) -> Iterator[None]:
    say, tries = context.say_trial, itertools.count(1)
    if say is not None:
        say(f"{file}: searched until its gate passes")
        context.evidence.on_result = lambda result: say(f"  {lines.compared(f'try {next(tries)}', result)}")
    try:
        yield
    finally:
        context.evidence.on_result = None
