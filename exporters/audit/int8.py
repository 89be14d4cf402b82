"""Proof that an int8 file holds only the student: each of its tensors is recomputed from the proved fp32 file."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from exporters.audit.entries import TINY, TINY_INTEGERS, check_extras, explain_all, is_range
from exporters.audit.integers import check_small_integers
from exporters.core.errors import GateError
from exporters.onnx.reader import Tensor, read_onnx

_LARGEST = (127, 64)  # weight of a symmetric scale: all 8 bits, or 7 for CPUs that add pairs of products in 16 bits
_INT32 = 2.0**31 - 1


def audit_int8(data: bytes, base: bytes, base_entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Explain each tensor of an int8 file by a tensor of the fp32 file that it was made from.

    A tensor is explained if it is, bit for bit, one of the fp32 file; or int8 round(w / s) of a weight w there, with
    the scale s of w's own range, per output channel or as a whole; or such a scale, or one that was raised until the
    bias of its channel fits int32; or zeros as zero points; or int32 round(b / (s · a)) of a bias b with a scale a of
    an activation; or such a product; or a single number, the scale or zero point of an activation;
    or uint8 or int8 round(c / s) + z of at most `TINY` values c that are a constant of the architecture.

    Args:
        data: the bytes of the int8 file.
        base: the bytes of the fp32 file.
        base_entries: what `audit_export` gave for `base`.

    Returns:
        One entry per tensor for the manifest, in the order of the file: `name dtype dims sha256 origin`.

    Raises:
        GateError: a tensor that nothing explains, named with its shape; entries that are not those of `base`; or parts
            that no student has.
    """
    model = read_onnx(data)
    check_extras(model)
    check_small_integers(model)
    explain = _Explainer(model.tensors, read_onnx(base).tensors, base_entries)
    remedy = "Quantize again from the fp32 file; nothing but the student may ship."
    entries = explain_all(model, explain, remedy=remedy, called="int8")
    needed = {str(entry["origin"]) for entry in base_entries if str(entry["origin"]).startswith("preprocessing")}
    lost = needed - {entry["origin"] for entry in entries}
    if lost:
        raise GateError(f"the int8 model does not normalise as the fp32 model does: no {' and no '.join(sorted(lost))}")
    return entries


class _Explainer:
    """Recomputes tensors; names say where to look, values decide."""

    def __init__(
        self, tensors: Sequence[Tensor], base: Sequence[Tensor], base_entries: Sequence[Mapping[str, Any]]
    ) -> None:
        recorded = [(str(entry.get("name")), entry.get("sha256")) for entry in base_entries]
        if recorded != [(tensor.name, tensor.sha256) for tensor in base]:
            raise GateError("the entries are not those of the fp32 model that the int8 model is compared with")
        self.own = {tensor.name: tensor for tensor in tensors}
        self.base = {tensor.name: tensor for tensor in base}
        self.origins = {entry["name"]: str(entry["origin"]) for entry in base_entries}
        self.copies = {
            (tensor.dtype, tensor.dims, tensor.sha256): self.origins[tensor.name] for tensor in reversed(base)
        }
        scales = [tensor for tensor in tensors if tensor.dtype == "float32" and tensor.name.endswith("_scale")]
        self.activations = np.array([tensor.array() for tensor in scales if tensor.dims == ()])
        self.weights = {tensor.name: self._weight(tensor) for tensor in tensors if tensor.dtype == "int8"}
        self.weight_scales = [
            self.own[f"{name.removesuffix('_quantized')}_scale"].array()
            for name, origin in self.weights.items()
            if origin
        ]
        self.biases = {tensor.name: self._bias(tensor) for tensor in tensors if tensor.dtype == "int32"}

    def __call__(self, tensor: Tensor) -> str | None:
        """The origin as one line of text, or None."""
        copy = self.copies.get((tensor.dtype, tensor.dims, tensor.sha256))
        if copy is not None:
            return copy
        name, value = tensor.name, tensor.array()
        integers = self.weights.get(name) or self.biases.get(name)
        if integers:
            return integers
        stem = name.removesuffix("_scale")
        if stem != name and tensor.dtype == "float32":
            scaled = self.weights.get(f"{stem}_quantized") or self.biases.get(stem)
            if scaled:
                return f"scale of {scaled}"
            return "scale of an activation" if value.size == 1 and np.isfinite(value).all() and value > 0 else None
        if tensor.dtype in {"int8", "uint8"} and self._is_constant(name.removesuffix("_quantized"), value):
            return "8 bits of a constant"
        if name.endswith("_zero_point") and tensor.dtype in {"int8", "uint8", "int32"}:
            return "zero point" if value.size == 1 or not value.any() else None
        if tensor.dtype in {"int64", "int32", "bool"} and (value.size <= TINY_INTEGERS or is_range(value)):
            return "constant"
        return None

    def _is_constant(self, name: str, value: np.ndarray) -> bool:
        """Whether these are round(c / s) + z of a tiny constant c of the fp32 file, such as the value of a padding."""
        scale, zero = (self.own.get(f"{name}_{key}") for key in ("scale", "zero_point"))
        if self.origins.get(name) != "constant" or scale is None or zero is None:
            return False
        constant = self.base[name].array()
        if constant.size > TINY or constant.shape != value.shape or scale.array().size != 1 or zero.array().size != 1:
            return False
        limits = np.iinfo(value.dtype)
        exact = np.rint(constant.astype(np.float64) / float(scale.array().item())) + int(zero.array().item())
        return bool(np.array_equal(value, np.clip(exact, limits.min, limits.max)))

    def _weight(self, tensor: Tensor) -> str | None:
        """Origin of int8 values that are those of a weight of the fp32 file."""
        name = tensor.name.removesuffix("_quantized")
        source, scale = self.base.get(name), self.own.get(f"{name}_scale")
        if source is None or scale is None or name == tensor.name or source.dims != tensor.dims:
            return None
        if source.dtype != "float32" or scale.dtype != "float32":
            return None
        weight, values, found = source.array(), tensor.array(), scale.array()
        origin = f"int8 of {self.origins[name]}"
        if found.shape == ():
            flat = (weight.reshape(1, -1), values.reshape(1, -1))
            return f"{origin}, per tensor" if self._follows(*flat, found.reshape(1)) else None
        for axis in range(weight.ndim):
            if found.shape != (weight.shape[axis],):
                continue
            rows = [np.moveaxis(each, axis, 0).reshape(len(found), -1) for each in (weight, values)]
            if self._follows(rows[0], rows[1], found):
                return f"{origin}, per channel"
        return None

    def _follows(self, weight: np.ndarray, values: np.ndarray, scale: np.ndarray) -> bool:
        """Whether int8 `[C, N]` are weights `[C, N]` by scales `[C]`, and these are the weights' own."""
        if not (scale > 0).all() or not np.array_equal(np.round(weight / scale[:, None]), values):
            return False
        own = [self._scales(weight, largest) for largest in _LARGEST]
        if any(scale.tobytes() == each.tobytes() for each in own):
            return True
        return any(
            bool(((scale == each) | ((scale > each) & np.isclose(raised, scale, rtol=1e-6, atol=0))).all())
            for each in own
            for raised in self._raised(len(scale))
        )

    def _raised(self, channels: int) -> Iterator[np.ndarray]:
        """Scales for which a bias just fits int32, for each bias and each activation that it could belong to."""
        for tensor in self._vectors(channels):
            bias = np.abs(tensor.array().astype(np.float64))
            for activation in self.activations.astype(np.float64):
                yield 1.0001 * bias / _INT32 / activation

    def _vectors(self, length: int) -> list[Tensor]:
        return [tensor for tensor in self.base.values() if tensor.dtype == "float32" and tensor.dims == (length,)]

    @staticmethod
    def _scales(weight: np.ndarray, largest: int) -> np.ndarray:
        ends = np.abs(weight).max(axis=1, initial=0).astype(np.float64)
        scale = 2 * ends / (2 * largest)
        return np.where(scale < np.finfo(np.float32).tiny, 1.0, scale).astype(np.float32)

    def _bias(self, tensor: Tensor) -> str | None:
        """Origin of int32 values that are those of a bias of the fp32 file."""
        scale = self.own.get(f"{tensor.name}_scale")
        if scale is None or len(tensor.dims) != 1 or scale.dims != tensor.dims:
            return None
        steps = scale.array()
        if not any(self._product(steps, each) for each in self.weight_scales if each.shape == steps.shape):
            return None
        for source in self._vectors(len(steps)):
            exact = np.round(source.array().astype(np.float64) / steps.astype(np.float64))
            if np.array_equal(np.clip(exact, -_INT32 - 1, _INT32), tensor.array()):
                return f"int32 of {self.origins[source.name]}"
        return None

    def _product(self, steps: np.ndarray, weight_scale: np.ndarray) -> bool:
        """Whether the steps are the weight's scales by the scale of some activation."""
        likely = self.activations[self.activations * weight_scale[0] == steps[0]]
        return any((activation * weight_scale).tobytes() == steps.tobytes() for activation in likely)
