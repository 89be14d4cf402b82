"""What explains a tensor of a quantized file and what does not, rule by rule, on files made by hand.

Integers and scales are computed here from the formulas; each attack is one that a looser rule would let through.
"""

import numpy as np
import pytest

from exporters.audit.int8 import audit_int8
from exporters.core.errors import GateError
from tests.exporters.audit.by_hand import file, with_origins

RANDOM = np.random.default_rng(3)
CHANNELS = 72  # integers of up to 64 values are taken for constants
WEIGHT = RANDOM.normal(size=(CHANNELS, 3, 2, 2)).astype(np.float32)
BIAS = RANDOM.normal(size=CHANNELS).astype(np.float32)
ACTIVATION = np.float32(0.03)
FACTORS = np.array([0.1, 0.2, 0.3], np.float32)
ORIGINS = {"factors": "preprocessing scale", "padding": "constant"}


def own_scale(weight: np.ndarray, axis: int | None = 0, largest: int = 127) -> np.ndarray:
    """The largest absolute value of a channel, or of all, becomes `largest`."""
    others = tuple(other for other in range(weight.ndim) if other != axis)
    ends = np.abs(weight).max(axis=None if axis is None else others)
    return np.asarray(ends / largest, np.float32)


def integers(weight: np.ndarray, scale: np.ndarray, axis: int | None = 0) -> np.ndarray:
    shape = [1] * weight.ndim
    if axis is not None:
        shape[axis] = -1
    return np.round(weight / scale.reshape(shape)).astype(np.int8)


BASE = {"w": WEIGHT, "b": BIAS, "factors": FACTORS, "half": np.float32(0.5), "padding": np.array([1, 0.02], np.float32)}
SCALE = own_scale(WEIGHT)
STEPS = ACTIVATION * SCALE
QUANTIZED = {
    "w_quantized": integers(WEIGHT, SCALE),
    "w_scale": SCALE,
    "w_zero_point": np.zeros(CHANNELS, np.int8),
    "b_quantized": np.round(BIAS.astype(float) / STEPS).astype(np.int32),
    "b_quantized_scale": STEPS,
    "b_quantized_zero_point": np.zeros(CHANNELS, np.int32),
    "x_scale": ACTIVATION,
    "x_zero_point": np.uint8(17),
    "factors": FACTORS,
}


def by_hand(base: dict[str, np.ndarray] | None = None, **tensors: np.ndarray) -> dict[str, str]:
    """Origins by name, or GateError, for the quantized file with these tensors in place of its own, and its base."""
    source = file(**(base or BASE))
    found = audit_int8(file(**{**QUANTIZED, **tensors}), source, with_origins(source, **ORIGINS))
    return {entry["name"]: entry["origin"] for entry in found}


def is_refused(name: str, base: dict[str, np.ndarray] | None = None, **tensors: np.ndarray) -> bool:
    with pytest.raises(GateError, match=rf"the int8 model holds what .*{name} ") as caught:
        by_hand(base, **tensors)
    assert caught.value.remedy == "Quantize again from the fp32 file; nothing but the student may ship."
    return True


def test_each_tensor_of_a_quantized_layer_has_its_origin() -> None:
    assert by_hand() == {
        "w_quantized": "int8 of copy of w, per channel",
        "w_scale": "scale of int8 of copy of w, per channel",
        "w_zero_point": "zero point",
        "b_quantized": "int32 of copy of b",
        "b_quantized_scale": "scale of int32 of copy of b",
        "b_quantized_zero_point": "zero point",
        "x_scale": "scale of an activation",
        "x_zero_point": "zero point",
        "factors": "preprocessing scale",
    }


@pytest.mark.parametrize("largest", [127, 64])
@pytest.mark.parametrize("axis", [0, 1, None])
def test_scale_is_of_the_weights_own_range(axis: int | None, largest: int) -> None:
    weight = WEIGHT
    scale = own_scale(weight, axis, largest)
    tensors = {"v_quantized": integers(weight, scale, axis), "v_scale": scale}
    kind = "per tensor" if axis is None else "per channel"
    assert by_hand({**BASE, "v": weight}, **tensors)["v_quantized"] == f"int8 of copy of v, {kind}"
    for factor in (0.5, 1.01, 2):
        other = (scale * np.float32(factor)).astype(np.float32)
        tensors = {"v_quantized": np.clip(integers(weight, other, axis), -128, 127), "v_scale": other}
        assert is_refused("v_quantized", {**BASE, "v": weight}, **tensors)


def test_channel_of_zeros_has_scale_one() -> None:
    weight = WEIGHT.copy()
    weight[2] = 0
    scale = np.where(np.arange(CHANNELS) == 2, np.float32(1), own_scale(weight))
    tensors = {"v_quantized": integers(weight, scale), "v_scale": scale}
    assert by_hand({**BASE, "v": weight}, **tensors)["v_scale"] == "scale of int8 of copy of v, per channel"
    weight[2] = np.float32(1e-39)  # its scale would be no normal number
    tensors["v_quantized"] = integers(weight, scale)
    assert by_hand({**BASE, "v": weight}, **tensors)["v_quantized"] == "int8 of copy of v, per channel"
    scale = np.where(np.arange(CHANNELS) == 2, np.float32(2), scale)
    assert is_refused("v_quantized", {**BASE, "v": weight}, v_quantized=integers(weight, scale), v_scale=scale)


LARGE = np.where(np.arange(CHANNELS) == 2, np.float32(5e4), BIAS)


def raised_for(bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A weight whose third channel is tiny, and its scales: that channel's is raised until its bias fits int32."""
    weight = WEIGHT.copy()
    weight[2] *= np.float32(1e-9)
    scale = own_scale(weight)
    scale[2] = 1.0001 * abs(float(bias[2])) / (2**31 - 1) / float(ACTIVATION)
    return weight, scale


def test_scale_raised_for_int32_fits_the_bias_and_no_more() -> None:
    weight, scale = raised_for(LARGE)
    assert scale[2] > 1000 * own_scale(weight)[2]

    def origin(scale: np.ndarray, base: dict[str, np.ndarray]) -> str:
        return by_hand(base, v_quantized=integers(weight, scale), v_scale=scale)["v_quantized"]

    base = {**BASE, "v": weight, "large": LARGE}
    assert origin(scale, base) == "int8 of copy of v, per channel"
    for factor in (0.9999, 1.000004, 1.0001, 0.5, 2):
        other = np.where(np.arange(CHANNELS) == 2, scale * np.float32(factor), scale)
        assert is_refused("v_quantized", base, v_quantized=integers(weight, other), v_scale=other)
    # Without that bias, with one of another length or type, or for another channel, nothing asks for it.
    for large in (BIAS, np.append(LARGE, LARGE[0]), LARGE.astype(np.float64), LARGE[::-1].copy()):
        wrong = {**base, "large": large}
        assert is_refused("v_quantized", wrong, v_quantized=integers(weight, scale), v_scale=scale)


def test_smallest_scale_is_that_of_a_normal_number() -> None:
    tiny = np.finfo(np.float32).tiny
    weight = np.arange(-127, 128, dtype=np.float32).reshape(3, 85) * tiny
    scale = own_scale(weight)
    assert scale[0] == scale[2] == tiny and scale[1] < tiny
    scale[1] = 1
    tensors = {"v_quantized": integers(weight, scale), "v_scale": scale}
    assert by_hand({**BASE, "v": weight}, **tensors)["v_quantized"] == "int8 of copy of v, per channel"


def test_scale_of_zero_is_refused_before_anything_is_divided_by_it() -> None:
    with np.errstate(all="raise"):
        assert is_refused("w_quantized", None, w_scale=np.where(np.arange(CHANNELS) == 2, np.float32(0), SCALE))


def test_weight_without_values_has_scale_one() -> None:
    tensors = {"v_quantized": np.zeros((5, 0), np.int8), "v_scale": np.ones(5, np.float32)}
    base = {**BASE, "v": np.zeros((5, 0), np.float32)}
    assert by_hand(base, **tensors)["v_scale"] == "scale of int8 of copy of v, per channel"


def test_scale_is_never_lowered_for_its_bias() -> None:
    """As small as a bias would allow, where the weights ask for more: they would be cut off."""
    weight = np.sign(WEIGHT) * np.float32(1e-6)
    small = np.full(CHANNELS, 1e-9, np.float32)
    scale = (1.0001 * small.astype(float) / (2**31 - 1) / float(ACTIVATION)).astype(np.float32)
    values = np.clip(np.round(weight / scale[:, None, None, None]), -128, 127).astype(np.int8)
    assert is_refused("v_quantized", {**BASE, "v": weight, "small": small}, v_quantized=values, v_scale=scale)


@pytest.mark.parametrize(
    "tensors",
    [
        {"w_quantized": QUANTIZED["w_quantized"].reshape(CHANNELS, 12)},
        {"w_quantized": QUANTIZED["w_quantized"].astype(np.int16)},
        {"w_quantized": QUANTIZED["w_quantized"].view(np.uint8)},
        {"w_quantized": -QUANTIZED["w_quantized"]},
        {"w_scale": SCALE.astype(np.float64)},
        {"w_scale": SCALE.reshape(CHANNELS, 1)},
        {"w_scale": -SCALE, "w_quantized": -QUANTIZED["w_quantized"]},
        {"w_scale": np.append(SCALE, SCALE[0])},
        {"w_scale": np.float32(np.nan)},
    ],
    ids=["shape", "int16", "uint8", "negated", "float64 scale", "scale's shape", "negative", "length", "nan"],
)
def test_integers_that_do_not_follow_are_refused(tensors: dict[str, np.ndarray]) -> None:
    assert is_refused("w_quantized", None, **tensors)


def test_integers_are_of_the_tensor_that_they_are_named_after() -> None:
    assert is_refused("w", None, w=QUANTIZED["w_quantized"])
    assert is_refused("u_quantized", None, u_quantized=QUANTIZED["w_quantized"], u_scale=SCALE)
    assert is_refused("v_quantized", {**BASE, "v": WEIGHT}, v_quantized=QUANTIZED["w_quantized"])  # without a scale
    double = {**BASE, "v": WEIGHT.astype(np.float64)}
    assert is_refused("v_quantized", double, v_quantized=QUANTIZED["w_quantized"], v_scale=SCALE)
    infinite = WEIGHT.copy()
    infinite[0, 0, 0, 0] = np.inf
    scale = own_scale(infinite)
    values = np.zeros_like(QUANTIZED["w_quantized"])
    with np.errstate(invalid="ignore"):
        assert is_refused("v_quantized", {**BASE, "v": infinite}, v_quantized=values, v_scale=scale)


@pytest.mark.parametrize(
    "steps",
    [
        STEPS * np.float32(1.5),
        SCALE * np.float32(0.5),  # by a number that is no scale of an activation
        np.append(STEPS[:-1], STEPS[-1] * np.float32(1.0001)),
        STEPS.astype(np.float64),
        STEPS.reshape(8, 9),
        STEPS[0],
    ],
    ids=["scaled", "foreign factor", "one", "float64", "matrix", "number"],
)
def test_bias_must_be_in_steps_of_weight_and_activation(steps: np.ndarray) -> None:
    values = np.round(BIAS.astype(float).reshape(np.shape(steps) or (CHANNELS,)) / steps).astype(np.int32)
    for half in ({"half": np.float32(0.5)}, {"half_scale": np.float64(0.5)}):
        assert is_refused("b_quantized", {**BASE, **half}, b_quantized=values, b_quantized_scale=steps, **half)


def test_bias_has_a_step_for_each_value() -> None:
    whole = own_scale(WEIGHT, None)
    steps = np.float32(ACTIVATION * whole)
    tensors = {"v_quantized": integers(WEIGHT, whole, None), "v_scale": whole}
    values = np.round(BIAS.astype(float) / steps).astype(np.int32)
    bias = {"b_quantized": values, "b_quantized_scale": steps}
    assert is_refused("b_quantized", {**BASE, "v": WEIGHT}, **tensors, **bias)


def test_bias_is_that_of_the_fp32_file() -> None:
    base = {name: value for name, value in BASE.items() if name != "b"}
    assert by_hand({**base, "other": BIAS, "b": -BIAS})["b_quantized"] == "int32 of copy of other"


def test_bias_beyond_int32_is_cut_off() -> None:
    bias = np.append(np.array([1e9, -1e9], np.float32), BIAS[2:])
    values = [2**31 - 1, -(2**31), *np.round(bias[2:].astype(float) / STEPS[2:])]
    tensors = {"b_quantized": np.array(values, np.int64).astype(np.int32)}
    assert by_hand({**BASE, "b": bias}, **tensors)["b_quantized"] == "int32 of copy of b"


@pytest.mark.parametrize(
    ("value", "explained"),
    [
        (np.float32(1e-3), True),
        (np.array([1e-3], np.float32), True),
        (np.float32(0), False),
        (np.float32(-1), False),
        (np.float32(np.inf), False),
        (np.float32(np.nan), False),
        (np.array([1, 2], np.float32), False),
        (np.float64(1), False),
    ],
)
def test_scale_of_an_activation_is_one_positive_number(value: np.ndarray, explained: bool) -> None:
    if explained:
        assert by_hand(None, y_scale=value)["y_scale"] == "scale of an activation"
    else:
        assert is_refused("y_scale", None, y_scale=value)
    assert is_refused("y", None, y=value)


@pytest.mark.parametrize(
    ("name", "value", "explained"),
    [
        ("y_zero_point", np.int8(-7), True),
        ("y_zero_point", np.array([-7], np.int8), True),
        ("y_zero_point", np.zeros(100, np.int32), True),
        ("y_zero_point", np.array([0, 1], np.uint8), False),
        ("y_zero_point", np.float32(0), False),
        ("y", np.zeros(2, np.int8), False),
        ("y", np.uint8(3), False),
        ("y", np.arange(64) ** 2, True),
        ("y", np.arange(65) ** 2, False),
        ("y", np.arange(65), True),
        ("y", (np.arange(65) ** 2).astype(np.int32), False),
        ("y", (np.arange(64) ** 2).astype(np.int32), True),
        ("y", np.arange(64) % 3 == 0, True),
        ("y", np.arange(65) % 3 == 0, False),
    ],
)
def test_zero_points_and_constants_hold_no_knowledge(name: str, value: np.ndarray, explained: bool) -> None:
    if explained:
        assert by_hand(None, **{name: value})[name] == ("constant" if name == "y" else "zero point")
    else:
        assert is_refused(name, None, **{name: value})


PADDING = {
    "padding_quantized": np.array([127, 3], np.uint8),
    "padding_scale": np.float32(1 / 127),
    "padding_zero_point": np.uint8(0),
}


def test_quantized_constant_follows_from_scale_and_zero_point() -> None:
    def origin(**tensors: np.ndarray) -> str:
        return by_hand(None, **{**PADDING, **tensors})["padding_quantized"]

    assert origin() == "8 bits of a constant"
    assert origin(padding_quantized=np.array([137, 13], np.uint8), padding_zero_point=np.uint8(10)) == origin()
    signed = {"padding_quantized": np.array([117, -7], np.int8), "padding_zero_point": np.int8(-10)}
    assert origin(**signed) == origin()
    cut = {"padding_quantized": np.array([255, 20], np.uint8), "padding_scale": np.float32(1e-3)}
    assert origin(**cut) == origin()
    below = {"padding_quantized": np.array([-128, -30], np.int8), "padding_zero_point": np.int8(-50)}
    base = {**BASE, "padding": np.array([-1, 0.02], np.float32)}
    assert by_hand(base, **{**PADDING, **below, "padding_scale": np.float32(1e-3)})["padding_quantized"] == origin()


@pytest.mark.parametrize(
    ("changes", "base"),
    [
        ({"padding_quantized": np.array([[127, 3]], np.uint8)}, {}),
        ({"padding_quantized": np.array([127, 3], np.int16)}, {}),
        ({"padding_scale": np.full(2, 1 / 127, np.float32)}, {}),
        ({"padding_zero_point": np.zeros(2, np.uint8)}, {}),
        ({}, {"padding": None, "paddin": np.array([1, 0.02], np.float32)}),
    ],
    ids=["shape", "type", "two scales", "two zero points", "no such constant"],
)
def test_quantized_constant_is_refused(changes: dict[str, np.ndarray], base: dict[str, np.ndarray | None]) -> None:
    source = {name: value for name, value in {**BASE, **base}.items() if value is not None}
    assert is_refused("padding_quantized", source, **{**PADDING, **changes})


def test_only_tiny_constants_may_be_quantized() -> None:
    for count, explained in ((4, True), (5, False)):
        base = {**BASE, "padding": np.ones(count, np.float32)}
        tensors = {**PADDING, "padding_quantized": np.full(count, 127, np.uint8)}
        if explained:
            assert by_hand(base, **tensors)["padding_quantized"] == "8 bits of a constant"
        else:
            assert is_refused("padding_quantized", base, **tensors)
    weights = {"half_quantized": np.uint8(64), "half_scale": np.float32(1 / 127), "half_zero_point": np.uint8(0)}
    assert is_refused("half_quantized", None, **weights)  # a parameter of the student's, not a constant
    for missing in ("padding_scale", "padding_zero_point"):
        tensors = {name: value for name, value in PADDING.items() if name != missing}
        assert is_refused("padding_quantized", None, **tensors)


def test_copies_have_the_origin_of_the_first_of_the_same_values() -> None:
    base = {**BASE, "again": WEIGHT}
    assert by_hand(base, kept=WEIGHT)["kept"] == "copy of w"
    assert is_refused("kept", base, kept=WEIGHT.reshape(CHANNELS, 12))
    assert is_refused("kept", base, kept=WEIGHT.view(np.uint32))


def test_normalisation_must_be_in_the_quantized_file() -> None:
    with pytest.raises(GateError, match=r"not normalise as the fp32 model does: no preprocessing scale$"):
        by_hand(None, factors=np.array([1, 2, 3]))


def test_entries_are_compared_by_name_and_value() -> None:
    source = file(**BASE)
    entries = with_origins(source)
    for key in ("name", "sha256"):
        changed = [{**entries[0], key: "other"}, *entries[1:]]
        with pytest.raises(GateError, match="not those of the fp32 model"):
            audit_int8(file(**QUANTIZED), source, changed)
