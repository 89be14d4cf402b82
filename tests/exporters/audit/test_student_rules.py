"""What explains a tensor and what does not, rule by rule, on networks and files made by hand.

Each value is computed here from the formula of the rule, and each attack is one that a looser rule would let through.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from exporters.audit import audit_bundle, audit_export
from exporters.audit.recomputed import Constant
from exporters.audit.student import _Explainer
from exporters.core.errors import GateError
from exporters.images.preprocessing import Preprocessing
from exporters.onnx.reader import Tensor, read_onnx
from exporters.student.architectures import Architecture
from exporters.student.student import TrainedStudent
from tests.exporters.audit.by_hand import CONSTANTS, file, with_origins
from tests.exporters.audit.test_fused import Summed

NEUTRAL = Preprocessing(8, 8, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
REMEDY = "Export again from the student; nothing but the student may ship."


class Net(nn.Module):
    """Of each kind of layer one, and before each one a decoy of the same size that does not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.arange(24) ** 2)
        self.small_norm = nn.BatchNorm2d(5)
        self.decoy = nn.Parameter(torch.zeros(2, 3, 2, 2))
        self.wider = nn.Parameter(torch.zeros(2, 3, 2, 2, dtype=torch.float64))
        self.conv = nn.Conv2d(3, 2, 2)
        self.square = nn.Parameter(torch.zeros(3, 2, 2, 2))
        self.up = nn.ConvTranspose2d(6, 7, 2, bias=False)
        self.gain = nn.Parameter(torch.zeros(6))
        self.wide = nn.Conv2d(3, 6, 1)
        self.norms = nn.ModuleList(
            [nn.BatchNorm2d(2), nn.BatchNorm2d(6), nn.BatchNorm2d(7, affine=False), nn.BatchNorm1d(3)]
        )
        self.instance = nn.BatchNorm2d(6, track_running_stats=False)
        self.volume = nn.Conv3d(2, 3, 2, bias=False)
        self.linear = nn.Linear(6, 3)


@pytest.fixture(scope="module")
def student() -> TrainedStudent:
    random = torch.Generator().manual_seed(11)
    module = Net().eval()
    with torch.no_grad():
        for value in module.parameters():
            value.normal_(generator=random)
        for norm in (module.small_norm, *module.norms):
            norm.running_mean.normal_(generator=random)
            norm.running_var.uniform_(0.5, 2, generator=random)
            norm.eps = 0.1
        module.conv.weight *= 0.01  # the squares of a channel add up to less than 1
    return TrainedStudent(module, ["a", "b", "c"], NEUTRAL, Architecture("resnet8", "cifar"))


def numbers(value: torch.Tensor) -> np.ndarray:
    return value.detach().double().numpy()


def factors(norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of a batch norm: y = scale · x + offset."""
    scale = 1 / np.sqrt(numbers(norm.running_var) + norm.eps)
    shift = np.zeros_like(scale)
    if norm.affine:
        scale, shift = scale * numbers(norm.weight), numbers(norm.bias)
    return scale, shift - numbers(norm.running_mean) * scale


def origins_of(student: TrainedStudent, **tensors: np.ndarray) -> list[str]:
    return [entry["origin"] for entry in audit_export(file(**tensors), student)]


def origin_of(student: TrainedStudent, value: np.ndarray, name: str = "x") -> str:
    (origin,) = origins_of(student, **{name: value})
    return origin


def is_refused(student: TrainedStudent, value: np.ndarray, name: str = "x") -> bool:
    with pytest.raises(GateError) as caught:
        origin_of(student, value, name)
    what = f"{name} {value.dtype} {list(value.shape)}"
    assert caught.value.message == f"the exported model holds what the student does not explain: {what}"
    assert caught.value.remedy == REMEDY
    return True


def single(value: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(value, np.float32)


def test_copies_are_explained_bit_for_bit_in_every_order_of_axes(student: TrainedStudent) -> None:
    up, linear = (single(numbers(layer.weight)) for layer in (student.module.up, student.module.linear))
    assert origin_of(student, up) == "copy of up.weight"
    assert origin_of(student, up.reshape(6, 28)) == "copy of up.weight"
    assert origin_of(student, single(up.transpose(3, 1, 0, 2))) == "transpose of up.weight"
    assert origin_of(student, single(linear.T)) == "transpose of linear.weight"
    assert origin_of(student, numbers(student.module.wider)) == "copy of wider"
    other = up.copy()
    other.reshape(-1)[5] = np.nextafter(other.reshape(-1)[5], np.float32(9))
    assert is_refused(student, other) and is_refused(student, up[::-1].copy()) and is_refused(student, -up)
    assert is_refused(student, up.view(np.int32)) and is_refused(student, up.astype(np.float64))
    assert is_refused(student, up.view(np.uint32))
    assert is_refused(student, np.append(up, up[0, 0, 0, 0]))


def test_axes_of_volumes_are_not_exchanged(student: TrainedStudent) -> None:
    volume = single(numbers(student.module.volume.weight))
    assert origin_of(student, volume) == "copy of volume.weight"
    assert is_refused(student, single(volume.transpose(1, 0, 2, 3, 4)))


@pytest.mark.parametrize(
    ("value", "explained"),
    [*CONSTANTS, ((np.arange(64) ** 2).astype(np.int16), False), (np.arange(9, dtype=np.float32), False)],
)
def test_constants_are_tiny_or_ranges(student: TrainedStudent, value: np.ndarray, explained: bool) -> None:
    assert origin_of(student, value) == "constant" if explained else is_refused(student, value)


def test_tiny_parameter_is_no_constant(student: TrainedStudent) -> None:
    bias = single(numbers(student.module.linear.bias))
    assert origin_of(student, bias, "student.linear.bias") == "copy of linear.bias"
    assert origin_of(student, bias + np.float32(0.1), "bias") == "constant"
    for name in ("student.linear.bias", "linear.bias"):
        assert is_refused(student, bias + np.float32(0.1), name)


def test_folded_weights_and_biases_follow_from_layer_and_norm(student: TrainedStudent) -> None:
    net = student.module
    scale, offset = factors(net.norms[0])
    weight, bias = numbers(net.conv.weight), numbers(net.conv.bias)
    assert origin_of(student, single(weight * scale[:, None, None, None])) == "conv.weight with norms.0 folded"
    wide, shift = factors(net.norms[1])
    assert origin_of(student, single(shift)) == "bias of norms.1, folded"
    assert origin_of(student, single(shift + numbers(net.wide.bias) * wide)) == "wide.bias with norms.1 folded"
    assert is_refused(student, single(shift + numbers(net.gain) * wide))  # not a bias
    assert is_refused(student, single(shift - numbers(net.wide.bias) * wide))
    plain, below = factors(net.norms[2])
    assert origin_of(student, single(below)) == "bias of norms.2, folded"
    up = numbers(net.up.weight)
    assert origin_of(student, single(up * plain[None, :, None, None])) == "up.weight with norms.2 folded"
    by_first = numbers(net.wide.weight) * wide[:, None, None, None]
    assert origin_of(student, single(by_first)) == "wide.weight with norms.1 folded"
    linear = numbers(net.linear.weight) * factors(net.norms[3])[0][:, None]
    assert origin_of(student, single(linear)) == "linear.weight with norms.3 folded"
    assert is_refused(student, single(linear[:, ::-1]))
    assert offset.shape == bias.shape == (2,)  # of two values, any number is a constant


@pytest.mark.parametrize(
    "change",
    [
        lambda net, scale: numbers(net.wide.weight) * np.sqrt(np.abs(scale))[:, None, None, None],
        lambda net, scale: numbers(net.wide.weight) * scale[::-1][:, None, None, None],
        lambda net, scale: numbers(net.wide.weight) / scale[:, None, None, None],
        lambda net, scale: numbers(net.wide.weight) * -scale[:, None, None, None],
        lambda net, scale: (numbers(net.wide.weight) * scale[:, None, None, None]).reshape(6, 3),
        lambda net, scale: numbers(net.wider) * factors(net.norms[0])[0][:, None, None, None],
        lambda net, scale: numbers(net.square) * factors(net.norms[0])[0][:, None],
        lambda net, scale: np.zeros((6, 3, 1, 1)),
        lambda net, scale: np.full((6, 3, 1, 1), np.nan),
    ],
    ids=["root", "reversed", "divided", "negative", "reshaped", "float64", "third axis", "zeros", "nan"],
)
def test_weights_in_any_other_scale_are_refused(
    student: TrainedStudent, change: Callable[[nn.Module, np.ndarray], np.ndarray]
) -> None:
    assert is_refused(student, single(change(student.module, factors(student.module.norms[1])[0])))


def test_folded_values_of_another_type_are_refused(student: TrainedStudent) -> None:
    scale, offset = factors(student.module.norms[1])
    assert is_refused(student, numbers(student.module.wide.weight) * scale[:, None, None, None])
    assert is_refused(student, offset)


def test_channel_of_zeros_can_be_folded(student: TrainedStudent) -> None:
    net = Net().eval()
    net.load_state_dict(student.module.state_dict())
    with torch.no_grad():
        net.wide.weight[4] = 0
    net.norms[1].eps = 0.1
    empty = dataclasses.replace(student, module=net)
    folded = numbers(net.wide.weight) * factors(net.norms[1])[0][:, None, None, None]
    assert origin_of(empty, single(folded)) == "wide.weight with norms.1 folded"
    folded[4, 0] = 0.1
    assert is_refused(empty, single(folded))


@pytest.mark.parametrize(("error", "explained"), [(0.8e-5, True), (1.2e-5, False)])
def test_rounding_is_allowed_for_each_channel_by_its_own_size(
    student: TrainedStudent, error: float, explained: bool
) -> None:
    """A hundred-thousandth of the largest value: of the channel in a weight, of all in a bias."""
    net = Net().eval()
    net.load_state_dict(student.module.state_dict())
    net.norms[1].eps = 0.1
    with torch.no_grad():
        net.wide.weight[4] *= 1e-4
    small = dataclasses.replace(student, module=net)
    scale, offset = factors(net.norms[1])
    folded = numbers(net.wide.weight) * scale[:, None, None, None]
    largest = np.abs(folded[4]).argmax()
    folded[4].reshape(-1)[largest] *= 1 + error
    offset[np.abs(offset).argmin()] += error * np.abs(offset).max()
    if explained:
        assert origin_of(small, single(folded)) == "wide.weight with norms.1 folded"
        assert origin_of(small, single(offset)) == "bias of norms.1, folded"
    else:
        assert is_refused(small, single(folded)) and is_refused(small, single(offset))


MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.21, 0.22)


def test_normalisation_is_needed_to_the_last_bit(student: TrainedStudent) -> None:
    normal = dataclasses.replace(student, preprocessing=Preprocessing(8, 8, MEAN, STD))
    scale = np.array([1 / (255 * std) for std in STD], np.float32)
    shift = np.array([-mean / std for mean, std in zip(MEAN, STD, strict=True)], np.float32)
    assert origins_of(normal, a=scale, b=shift) == ["preprocessing scale", "preprocessing shift"]
    shaped = {"a": scale.reshape(1, 3, 1, 1), "b": shift.reshape(3, 1, 1)}
    assert origins_of(normal, **shaped) == ["preprocessing scale", "preprocessing shift"]
    near = np.nextafter(scale, np.float32(1))
    message = "the exported model does not normalise as the student was trained: no preprocessing s"
    for tensors, lost in (
        ({"a": near, "b": shift}, "cale"),
        ({"a": scale.astype(np.float64), "b": shift}, "cale"),
        ({"a": scale, "b": -shift}, "hift"),
        ({"b": shift}, "cale"),
        ({}, "cale and no preprocessing shift"),
    ):
        with pytest.raises(GateError) as caught:
            origins_of(normal, **tensors)
        assert caught.value.message == message + lost


def test_only_what_changes_an_image_is_needed(student: TrainedStudent) -> None:
    assert origins_of(student) == []
    one = dataclasses.replace(student, preprocessing=dataclasses.replace(NEUTRAL, mean=(0.0, 0.0, 0.5)))
    with pytest.raises(GateError, match=r"no preprocessing shift$"):
        origins_of(one)
    two = dataclasses.replace(student, preprocessing=dataclasses.replace(NEUTRAL, std=(1 / 255, 1.0, 1 / 255)))
    with pytest.raises(GateError, match=r"no preprocessing scale$"):
        origins_of(two)


def test_fused_branches_are_called_so(student: TrainedStudent) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Summed()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(x).mean(dim=(2, 3))

    torch.manual_seed(1)
    module = Small().eval()
    weights = Small().eval()
    weights.load_state_dict(module.state_dict())
    weights.block.double().reparameterize()
    fused = single(numbers(weights.block.fused.weight))
    own = dataclasses.replace(student, module=module)
    assert origin_of(own, fused) == "re-parameterised block"
    assert origin_of(own, single(fused.transpose(2, 3, 1, 0))) == "transpose of re-parameterised block"
    assert is_refused(own, fused + np.float32(1e-4))


def recomputed(student: TrainedStudent, value: np.ndarray, *constants: Constant) -> str | None:
    explain = _Explainer(student)
    explain.constants = list(constants)
    return explain(Tensor("x", str(value.dtype), value.shape, value.tobytes(), "initializer"))


def test_what_the_network_computes_is_explained_in_each_form(student: TrainedStudent) -> None:
    value = np.random.default_rng(2).normal(size=(5, 7)).astype(np.float32)
    first, second = Constant(value, ("gain",)), Constant(-value, ("conv.bias", "gain"))
    other = Constant(value[:2], ())
    assert recomputed(student, value, other, second, first) == "computed from gain"
    assert recomputed(student, value.reshape(35) * np.float32(1 + 5e-6), first) == "computed from gain"
    assert recomputed(student, np.tile(value, (2, 1)).view(np.uint32), Constant(np.tile(value, (2, 1)), ())) is None
    assert recomputed(student, -value, first, second) == "computed from conv.bias, gain"
    assert recomputed(student, value.reshape(35), second, first) == "computed from gain"
    assert recomputed(student, np.ascontiguousarray(value.T), second, first) == "computed from gain"
    assert recomputed(student, value * np.float32(1 + 5e-6), second, first) == "computed from gain"
    assert recomputed(student, np.ascontiguousarray(value.T) * np.float32(1 + 5e-6), first) == "computed from gain"
    assert recomputed(student, value * np.float32(1 + 2e-5), second, first) is None
    assert recomputed(student, value.astype(np.float64), first) is None
    assert recomputed(student, value[::-1].copy(), first) is None
    wide = np.where(np.arange(35).reshape(5, 7) % 7 == 0, np.float32(1000), value)
    assert recomputed(student, wide + np.float32(5e-3), Constant(wide, ("gain",))) == "computed from gain"
    wide[:, 0] = -np.inf  # of which every error is a small part
    assert recomputed(student, np.zeros_like(wide), Constant(wide, ("gain",))) is None
    exact = Constant(value * np.float32(1 + 5e-6), ("linear.bias",))
    assert recomputed(student, exact.value, first, exact) == "computed from linear.bias"  # before what is only near


@pytest.mark.parametrize("masked", [-100.0, -1e9, float(np.finfo(np.float32).min), -np.inf])
def test_nothing_hides_beside_the_huge_values_of_a_mask(student: TrainedStudent, masked: float) -> None:
    """A hundred-thousandth of them is more than any weight: whatever stands in the place of the zeros would pass."""
    mask = np.where(np.random.default_rng(5).random((6, 7)) < 0.5, masked, 0).astype(np.float32)
    constant = Constant(mask, ())
    assert recomputed(student, mask, constant) == "constant of the architecture"
    for size in (1e-4, 1e-1, 100):
        planted = np.where(mask == 0, np.float32(size), mask)
        assert recomputed(student, planted, constant) is None
        assert recomputed(student, planted.reshape(6, 7, 1), Constant(mask.reshape(6, 7, 1), ())) is None
        assert recomputed(student, np.full_like(mask, size), constant) is None
    encoding = np.sin(np.arange(42, dtype=np.float32)).reshape(6, 7)
    near = encoding + np.float32(5e-6) * np.abs(encoding).max(axis=1, keepdims=True)
    assert recomputed(student, near, Constant(encoding, ())) == "constant of the architecture"
    large = np.float32(1e6) * encoding
    assert recomputed(student, large * np.float32(1 + 5e-6), Constant(large, ())) == "constant of the architecture"


def test_integers_that_the_network_computes_must_be_equal(student: TrainedStudent) -> None:
    value = np.arange(100, dtype=np.int64) ** 2 + 10**6
    assert recomputed(student, value, Constant(value, ())) == "constant of the architecture"
    near = value.copy()
    near[3] += 1
    assert recomputed(student, near, Constant(value, ())) is None
    double = value.astype(np.float64)
    assert recomputed(student, double, Constant(double, ("gain",))) == "computed from gain"
    assert recomputed(student, double * (1 + 1e-9), Constant(double, ("gain",))) is None


def test_only_what_nothing_else_explains_is_recomputed(
    student: TrainedStudent, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, int, set[int]]] = []
    monkeypatch.setattr("exporters.audit.student.recompute", lambda *arguments: asked.append(arguments) or [])
    known = single(numbers(student.module.up.weight))
    assert origin_of(student, known) == "copy of up.weight" and asked == []
    with pytest.raises(GateError, match="does not explain: b "):
        origins_of(student, a=known, b=np.zeros(11, np.float32))
    model = onnx.load_from_string(file(b=np.zeros(11, np.float32)))
    assert asked == [(student, model.opset_import[0].version, {11})]
    model.opset_import[0].domain = "of.its.own"
    with pytest.raises(GateError, match="does not explain: b "):
        audit_export(model.SerializeToString(), student)
    assert asked[1:] == [(student, 0, {11})]


def test_parts_that_no_student_has_are_refused(student: TrainedStudent) -> None:
    with pytest.raises(GateError, match=r"the model holds more than a student: .*doc_string"):
        audit_export(file(doc_string="secret"), student)


def bundle_error(data: bytes, entries: list[dict[str, object]], operators: dict[str, int] | None = None) -> str:
    try:
        model = audit_bundle(data, entries, operators or {"Relu": 1}, "model.onnx")
    except GateError as error:
        return error.message
    assert model.tensors == read_onnx(data).tensors
    return ""


def test_bundle_holds_what_was_recorded_and_nothing_else() -> None:
    tensors = {name: np.full(6, index, np.float32) for index, name in enumerate("abcdefg")}
    data = file(**tensors)
    entries = with_origins(data)
    assert bundle_error(data, entries) == ""
    assert bundle_error(data, [{**each, "origin": "anything"} for each in entries]) == ""
    others = "model.onnx: its tensors are not those that were matched with the student: "
    assert bundle_error(data, entries[1:]) == others + "a"
    assert bundle_error(data, []) == others + "a, b, c, d, e"
    assert bundle_error(data, [*entries[1:], entries[0]]) == others + "their order"
    assert bundle_error(data, [*entries, entries[0]]) == others + "their order"
    for key, value in (("dtype", "int32"), ("dims", [3, 2]), ("sha256", "0" * 64), ("name", "z")):
        changed = [{**entries[0], key: value}, *entries[1:]]
        assert bundle_error(data, changed) == others + ("a, z" if key == "name" else "a")
        assert bundle_error(data, [{k: v for k, v in entries[0].items() if k != key}, *entries[1:]]).startswith(others)
    assert bundle_error(file(**{**tensors, "c": -tensors["c"]}), entries) == others + "c"
    wrong = "model.onnx: its operators are not those that were exported"
    assert bundle_error(data, entries, {"Relu": 2}) == bundle_error(data, entries, {"Relu": 1, "Mul": 1}) == wrong
    assert bundle_error(data[:-3], entries).startswith("model.onnx: damaged")
    assert bundle_error(file(doc_string="x"), []).startswith("model.onnx: the model holds more than a student")
