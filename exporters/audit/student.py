"""Proof that only the student ships: every tensor of the exported file is explained by the student's own parameters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.audit.entries import TINY, TINY_INTEGERS, check_extras, explain_all, identity, is_range, transposed
from exporters.audit.fused import fused_tensors
from exporters.audit.integers import check_small_integers
from exporters.audit.recomputed import Constant, recompute
from exporters.core.errors import GateError
from exporters.onnx.reader import OnnxFile, Tensor, read_onnx

if TYPE_CHECKING:
    from torch import nn

    from exporters.student.student import TrainedStudent

_STUDENT = "student."  # where the exported module holds the network
_TOLERANCE = 1e-5  # of the largest value in the channel; folding in fp32 rounds a few times
_LARGE = 1.0  # of constants that follow from no weight: what stands beside the huge values of a mask is no less exact


def audit_export(data: bytes, student: "TrainedStudent") -> list[dict[str, Any]]:
    """Explain each tensor of an exported model by the student.

    A tensor is explained if it is, bit for bit, a parameter or buffer of the student, reshaped or transposed; or a
    convolution's or linear layer's weight or bias with a batch norm folded into it, recomputed here in float64; or what
    the student's training-time branches add up to (`exporters.audit.fused`); or what a network that is built afresh and
    given the student's state computes without an image (`exporters.audit.recomputed`); or the normalisation of the
    preprocessing; or a tiny constant (`TINY`, `TINY_INTEGERS`), unless it is called as one of the student's parameters,
    or a range of integers.

    Args:
        data: the bytes of the ONNX file.
        student: what was exported.

    Returns:
        One entry per tensor for the manifest, in the order of the file: `name dtype dims sha256 origin`.

    Raises:
        GateError: a tensor that nothing explains, named with its shape; no normalisation; or parts that no student has.
    """
    model = read_onnx(data)
    check_extras(model)
    check_small_integers(model)
    explain = _Explainer(student)
    explain.recompute(model)
    entries = explain_all(model, explain, remedy="Export again from the student; nothing but the student may ship.")
    lost = explain.normalisation_needed - {entry["origin"] for entry in entries}
    if lost:
        raise GateError(
            f"the exported model does not normalise as the student was trained: no {' and no '.join(sorted(lost))}"
        )
    return entries


def audit_bundle(
    data: bytes, entries: Sequence[Mapping[str, Any]], operators: Mapping[str, int], name: str
) -> OnnxFile:
    """Check a shipped model against what was recorded at its export; needs neither torch nor the onnx package.

    Args:
        data: the bytes of the ONNX file.
        entries: the manifest's list, as `audit_export` gave it.
        operators: the manifest's operator counts.
        name: of the file, for messages.

    Raises:
        GateError: another tensor, another value, another operator, or parts that no student has.
    """
    try:
        model = read_onnx(data)
        check_extras(model)
    except GateError as error:
        raise GateError(f"{name}: {error.message}") from error
    keys = ("name", "dtype", "dims", "sha256")
    recorded = [tuple(_plain(entry.get(key)) for key in keys) for entry in entries]
    found = [tuple(_plain(value) for value in identity(tensor).values()) for tensor in model.tensors]
    if recorded != found:
        different = sorted({str(entry[0]) for entry in set(recorded) ^ set(found)}) or ["their order"]
        raise GateError(
            f"{name}: its tensors are not those that were matched with the student: {', '.join(different[:5])}"
        )
    if dict(operators) != model.operators:
        raise GateError(f"{name}: its operators are not those that were exported")
    return model


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class _Explainer:
    """Looks a tensor up among everything that the student could have become."""

    def __init__(self, student: "TrainedStudent") -> None:
        self.own = {name: value.detach().cpu().numpy() for name, value in student.module.state_dict().items()}
        fused = fused_tensors(student)
        self.own |= {name: value for name, (_, value) in fused.items()}
        self.fused = {name: origin for name, (origin, _) in fused.items()}
        self.norms = list(_batch_norms(student.module))
        mean = np.asarray(student.preprocessing.mean, np.float64)
        std = np.asarray(student.preprocessing.std, np.float64)
        self.normalisation = {"scale": (1 / (255 * std)).astype(np.float32), "shift": (-mean / std).astype(np.float32)}
        # The exporter drops a multiplication by 1 and an addition of 0.
        self.normalisation_needed = {
            f"preprocessing {name}"
            for (name, value), neutral in zip(self.normalisation.items(), (1, 0), strict=True)
            if np.any(value != neutral)
        }
        self.student = student
        self.constants: list[Constant] = []
        self.by_size: dict[int, list[str]] = {}
        for name, value in self.own.items():
            self.by_size.setdefault(value.size, []).append(name)

    def recompute(self, model: OnnxFile) -> None:
        """Compute what the network makes of its weights, where a tensor is not explained without."""
        sizes = {tensor.array().size for tensor in model.tensors if self(tensor) is None}
        if sizes:
            self.constants = recompute(self.student, model.opsets.get("", 0), sizes)

    def __call__(self, tensor: Tensor) -> str | None:
        """The origin as one line of text, or None."""
        value = tensor.array()
        if tensor.dtype in {"int64", "int32", "bool"} and (value.size <= TINY_INTEGERS or is_range(value)):
            return "constant"
        copied = self._copied(value)
        if copied is not None:
            return copied
        for name, expected in self.normalisation.items():
            if value.dtype == expected.dtype and value.tobytes() == expected.tobytes():
                return f"preprocessing {name}"
        if value.size <= TINY and tensor.name.removeprefix(_STUDENT) not in self.own:
            return "constant"
        return (self._folded(value) if value.dtype == np.float32 else None) or self._recomputed(value)

    def _copied(self, value: np.ndarray) -> str | None:
        raw = value.tobytes()
        for name in self.by_size.get(value.size, ()):
            own = self.own[name]
            if own.dtype != value.dtype:
                continue
            if own.tobytes() == raw:
                return self.fused.get(name, f"copy of {name}")
            if any(other.tobytes() == raw for other in transposed(own)):
                return f"transpose of {self.fused.get(name, name)}"
        return None

    def _recomputed(self, value: np.ndarray) -> str | None:
        """What the network computes without an image, to the bit or, where it is fp32, up to rounding."""
        same = [each for each in self.constants if each.value.size == value.size and each.value.dtype == value.dtype]
        for each in same:
            if any(form.tobytes() == value.tobytes() for form in (each.value, *transposed(each.value))):
                return each.origin
        if value.dtype != np.float32:
            return None
        for each in same:
            forms = [each.value.reshape(value.shape), *transposed(each.value)]
            most = np.inf if each.sources else _LARGE
            if any(form.shape == value.shape and _close(value, form.astype(np.float64), most) for form in forms):
                return each.origin
        return None

    def _folded(self, value: np.ndarray) -> str | None:
        """A weight with a batch norm's scale per output channel, or the bias that goes with it."""
        if value.ndim >= 2:
            return self._folded_weight(value)
        for norm, scale, offset in self.norms:
            if scale.shape != value.shape:
                continue
            if _close(value, offset):
                return f"bias of {norm}, folded"
            for name in self.by_size[value.size]:
                if name.endswith("bias") and _close(value, offset + self.own[name].astype(np.float64) * scale):
                    return f"{name} with {norm} folded"
        return None

    def _folded_weight(self, value: np.ndarray) -> str | None:
        for name in self.by_size.get(value.size, ()):
            own = self.own[name]
            if own.shape != value.shape or own.dtype != np.float32:
                continue
            for axis in (0, 1):  # a transposed convolution has its output channels second
                weight = np.moveaxis(own, axis, 0).reshape(own.shape[axis], -1).astype(np.float64)
                folded = np.moveaxis(value, axis, 0).reshape(weight.shape).astype(np.float64)
                # The scale that this weight would need, which then must be that of one of the batch norms.
                energy = np.sum(weight * weight, axis=1)
                needed = np.sum(weight * folded, axis=1) / np.where(energy > 0, energy, 1)
                if not _close(folded, weight * needed[:, None]):
                    continue
                for norm, scale, _ in self.norms:
                    if scale.shape == needed.shape and _close(folded, weight * scale[:, None]):
                        return f"{name} with {norm} folded"
        return None


def _batch_norms(module: "nn.Module") -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, scale, offset) of each batch norm in eval mode, y = scale·x + offset, in float64.

    Ioffe and Szegedy, "Batch Normalization" (ICML 2015), algorithm 2.
    """
    from torch import nn

    for name, norm in module.named_modules():
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.running_var is None:
            continue
        assert norm.running_mean is not None
        mean, variance = (value.detach().cpu().double().numpy() for value in (norm.running_mean, norm.running_var))
        scale = 1 / np.sqrt(variance + norm.eps)
        offset = np.zeros_like(scale)
        if norm.affine:
            scale = scale * norm.weight.detach().cpu().double().numpy()
            offset = norm.bias.detach().cpu().double().numpy()
        yield name, scale, offset - mean * scale


def _close(value: np.ndarray, expected: np.ndarray, most: float = np.inf) -> bool:
    """Equal up to the rounding of fp32, per channel (the first axis) for matrices, per vector otherwise.

    Args:
        most: of a larger value, no more counts for the others of its channel.
    """
    if not (np.isfinite(value).all() and np.isfinite(expected).all()):
        return False
    size = np.abs(expected)
    largest = np.minimum(size.max(axis=1 if value.ndim == 2 else None, keepdims=True), most)
    return bool((np.abs(value - expected) <= np.maximum(size, largest) * _TOLERANCE).all())
