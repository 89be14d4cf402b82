"""What a network computes from its weights is recomputed in one that is built afresh, and refused if it differs."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from exporters.audit import audit_export
from exporters.audit.recomputed import Constant, _built_afresh, _computed, _constants, _run, _spread, recompute
from exporters.core.errors import GateError
from exporters.onnx import export
from exporters.onnx.export import export_onnx
from exporters.onnx.reader import read_onnx
from exporters.runtimes import OnnxRuntime, TorchRuntime
from exporters.student.architectures import Architecture
from exporters.student.student import TrainedStudent
from tests.exporters.conftest import LABELS, make_student, random_images

SIZE = 64
OF_A_SIZE = ("test_coatnet", "test_maxvit", "test_vit_relpos")


@dataclasses.dataclass(frozen=True)
class Sample:
    student: TrainedStudent
    data: bytes
    origins: dict[str, str]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Sample]:
    made: dict[str, Sample] = {}

    def make(name: str) -> Sample:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            arguments = {"img_size": SIZE} if name in OF_A_SIZE else {}
            student = make_student(folder, Architecture(name, "timm", arguments), SIZE)
            data = export_onnx(student, folder / "model.onnx").path.read_bytes()
            origins = {entry["name"]: entry["origin"] for entry in audit_export(data, student)}
            made[name] = Sample(student, data, origins)
        return made[name]

    return make


def tensor(sample: Sample, origin: str) -> str:
    """The name of the first tensor of this origin."""
    return next(name for name, found in sample.origins.items() if found.startswith(origin))


def changed(data: bytes, name: str, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    model = onnx.load_from_string(data)
    found = next(each for each in model.graph.initializer if each.name == name)
    values = change(numpy_helper.to_array(found).copy())
    found.CopyFrom(numpy_helper.from_array(values, name))
    return model.SerializeToString()


def planted(values: np.ndarray) -> np.ndarray:
    """A number of another network in the place of the largest."""
    place = np.abs(values).argmax()
    values.reshape(-1)[place] = values.reshape(-1)[place] * (1.001 if values.dtype == np.float32 else 0)
    return values


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("test_efficientnet_gn", "constant of the architecture"),
        ("test_nfnet", "computed from stem.conv1.gain, stem.conv1.weight"),
        ("test_coatnet", "computed from stages.2.blocks.0.attn.rel_pos.relative_position_bias_table"),
        ("test_maxvit", "computed from stages.0.blocks.0.attn_block.attn.rel_pos.relative_position_bias_table"),
        ("test_vit_relpos", "computed from blocks.0.attn.rel_pos.mlp.fc1.bias, "),
    ],
)
def test_networks_with_constants_of_their_own_are_explained(
    exported: Callable[..., Sample], name: str, origin: str
) -> None:
    sample = exported(name)
    assert any(found.startswith(origin) for found in sample.origins.values()), sorted(set(sample.origins.values()))
    images = random_images(4, SIZE)
    reference = TorchRuntime(sample.student).predict(images)
    error = np.abs(OnnxRuntime(sample.data, threads=1).predict(images) - reference).max()
    assert error < 1e-4 * np.abs(reference).max()


@pytest.mark.parametrize("name", ["test_efficientnet_gn", "test_nfnet", "test_coatnet"])
def test_a_planted_number_in_a_recomputed_tensor_is_found(exported: Callable[..., Sample], name: str) -> None:
    sample = exported(name)
    recomputed = [
        key for key, origin in sample.origins.items() if origin.startswith(("computed from", "constant of the"))
    ]
    assert recomputed
    with pytest.raises(GateError, match=f"does not explain: {recomputed[0]} "):
        audit_export(changed(sample.data, recomputed[0], planted), sample.student)


def test_weights_of_another_network_are_found_in_standardised_form(exported: Callable[..., Sample]) -> None:
    """A teacher's weight, standardised as the student's would be: of the right name, size, mean and spread."""
    sample = exported("test_nfnet")
    key = tensor(sample, "computed from stem.conv2.gain, stem.conv2.weight")

    def of_teacher(values: np.ndarray) -> np.ndarray:
        weight = np.random.default_rng(0).normal(size=values.shape).astype(np.float32)
        rows = weight.reshape(len(weight), -1)
        rows -= rows.mean(axis=1, keepdims=True)
        rows *= values.reshape(rows.shape).std(axis=1, keepdims=True) / rows.std(axis=1, keepdims=True)
        return rows.reshape(values.shape)

    with pytest.raises(GateError, match=key):
        audit_export(changed(sample.data, key, of_teacher), sample.student)


def test_computed_tensor_of_another_student_is_not_explained(exported: Callable[..., Sample]) -> None:
    sample = exported("test_nfnet")
    other = copy.deepcopy(sample.student.module)
    with torch.no_grad():
        other.get_parameter("stem.conv1.weight")[0, 0, 0, 0] += 0.01
    key = tensor(sample, "computed from stem.conv1.gain, stem.conv1.weight")
    with pytest.raises(GateError, match=key):
        audit_export(sample.data, dataclasses.replace(sample.student, module=other))


def test_unsaved_buffer_must_be_that_of_the_architecture(exported: Callable[..., Sample], tmp_path: Path) -> None:
    """An index replaced in the exported network: only comparison with a freshly built network reveals it."""
    student = exported("test_coatnet").student
    module = copy.deepcopy(student.module)
    name = "stages.2.blocks.0.attn.rel_pos.relative_position_index"
    assert name not in module.state_dict()
    module.get_buffer(name).copy_(module.get_buffer(name).roll(1))
    leaking = dataclasses.replace(student, module=module)
    data = export_onnx(leaking, tmp_path / "model.onnx").path.read_bytes()
    with pytest.raises(GateError, match="does not explain"):
        audit_export(data, leaking)


def test_scaled_ones_are_not_a_constant_of_the_architecture(exported: Callable[..., Sample]) -> None:
    sample = exported("test_efficientnet_gn")
    key = next(
        each.name
        for each in read_onnx(sample.data).tensors
        if sample.origins[each.name] == "constant of the architecture" and bool((each.array() == 1).all())
    )
    with pytest.raises(GateError, match=key):
        audit_export(changed(sample.data, key, lambda values: values * np.float32(1.25)), sample.student)


def test_a_module_that_its_architecture_does_not_build_computes_nothing(exported: Callable[..., Sample]) -> None:
    student = exported("test_nfnet").student
    module = copy.deepcopy(student.module)
    module.register_buffer("teacher", torch.ones(4))
    assert recompute(dataclasses.replace(student, module=module), 20, {432}) == []


def test_recomputing_changes_neither_random_state_nor_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And translates the network in the opset of the file, without folding anything."""
    student = make_student(tmp_path, Architecture("test_efficientnet_gn", "timm"), SIZE)
    before, state = torch.random.get_rng_state(), copy.deepcopy(student.module.state_dict())
    asked: list[tuple[int, dict[str, bool]]] = []
    translate = export.to_graph

    def noted(student: TrainedStudent, opset: int, **options: bool) -> onnx.ModelProto:
        asked.append((opset, options))
        return translate(student, opset, **options)

    monkeypatch.setattr(export, "to_graph", noted)
    found = recompute(student, 20, {8})
    assert found and all(each.value.size == 8 for each in found)
    assert asked == [(20, {"folded": False})]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, state[key]) for key, value in student.module.state_dict().items())


def test_values_that_depend_on_the_batch_size_are_not_constants() -> None:
    """[batch] and [channels] both follow from the shape of the input; the second one alone is the same for all."""
    weight = numpy_helper.from_array(np.arange(3, dtype=np.float32), "student.w")
    nodes = [
        helper.make_node("Shape", ["image"], ["batch"], start=0, end=1),
        helper.make_node("Shape", ["image"], ["channels"], start=3, end=4),
        helper.make_node("Expand", ["one", "batch"], ["by_batch"]),
        helper.make_node("Expand", ["one", "channels"], ["by_channel"]),
        helper.make_node("Mul", ["by_channel", "student.w"], ["product"]),
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["product", "mean"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 8, 8, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [3])
    one = numpy_helper.from_array(np.ones(1, np.float32), "one")
    model = helper.make_model(helper.make_graph(nodes, "g", [image], [logits], [weight, one]))
    model.ir_version = 10
    model.opset_import[0].version = 20
    found = list(_constants(model, frozenset({"w"}), frozenset({2, 3}), 8))
    assert [(each.value.tolist(), each.sources) for each in found] == [([1, 1, 1], ()), ([0, 1, 2], ("w",))]


# The parts of it, on graphs made by hand.


def model(*nodes: onnx.NodeProto, **tensors: np.ndarray) -> onnx.ModelProto:
    """From `image` to `logits`; the parameters are those called `p_…`, as the exporter calls them `student.p_…`."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 8, 8, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)
    protos = [
        numpy_helper.from_array(value, f"student.{name}" if name.startswith("p_") else name)
        for name, value in tensors.items()
    ]
    pixels = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["logits"], keepdims=0),
    ]
    made = helper.make_model(helper.make_graph([*nodes, *pixels], "g", [image], [logits], protos))
    made.ir_version, made.opset_import[0].version = 10, 20
    return made


def node(operator: str, inputs: list[str], outputs: list[str], **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, outputs, **attributes)


ONE, TWO = frozenset({"p_one"}), frozenset({"p_two"})


def spread(*nodes: onnx.NodeProto) -> tuple[dict[str, frozenset[str]], set[str]]:
    sources = {"student.p_one": ONE, "student.p_two": TWO, "c": frozenset[str]()}
    before = set(sources)
    by_shape = _spread(model(*nodes), sources)
    return {name: found for name, found in sources.items() if name not in before}, by_shape


def test_origin_names_three_sources_at_most() -> None:
    value = np.zeros(1)
    assert Constant(value, ()).origin == "constant of the architecture"
    assert Constant(value, ("a",)).origin == "computed from a"
    assert Constant(value, ("a", "b", "c")).origin == "computed from a, b, c"
    assert Constant(value, ("a", "b", "c", "d", "e")).origin == "computed from a, b, c and 2 more"


def test_what_is_computed_follows_from_all_that_is_read() -> None:
    found, by_shape = spread(
        node("Mul", ["student.p_one", "c"], ["a"]),
        node("Add", ["a", "student.p_two"], ["b", ""]),
        node("Clip", ["c", "", "student.p_two"], ["d"]),
        node("Neg", ["c"], ["e"]),
    )
    assert found == {"a": ONE, "b": ONE | TWO, "d": TWO, "e": frozenset()}
    assert not by_shape & {"a", "b", "e"}


def test_what_an_image_has_a_part_in_is_no_constant() -> None:
    found, _ = spread(
        node("Mul", ["student.p_one", "image"], ["a"]),
        node("Neg", ["a"], ["b"]),
        node("Neg", ["student.p_one"], ["last"]),  # looked at after those that are none
    )
    assert found == {"last": ONE}


@pytest.mark.parametrize(
    "operator", ["RandomNormal", "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout", "SequenceAt", "Optional"]
)
def test_what_is_drawn_is_no_constant(operator: str) -> None:
    found, _ = spread(node(operator, ["student.p_one"], ["a"]), node("Neg", ["student.p_one"], ["last"]))
    assert found == {"last": ONE}
    assert spread(node(operator, [], ["a"]))[0] == {}


def test_what_has_a_graph_of_its_own_is_no_constant() -> None:
    inner = helper.make_graph([], "inner", [], [])
    found, _ = spread(node("Loop", ["student.p_one"], ["a"], body=inner), node("Neg", ["c"], ["last"]))
    assert found == {"last": frozenset()}


def test_shape_alone_is_read_of_some_inputs() -> None:
    """And of others the type: the values of the image have no part in them."""
    found, by_shape = spread(
        node("Shape", ["image"], ["shape"]),
        node("Size", ["image"], ["size"]),
        node("CastLike", ["student.p_one", "pixels"], ["like"]),
        node("CastLike", ["image", "student.p_one"], ["of_image"]),
        node("Mul", ["size", "student.p_two"], ["product"]),
        node("Neg", ["student.p_two"], ["plain"]),
    )
    assert found == {
        "shape": frozenset(), "size": frozenset(), "like": ONE, "product": TWO, "plain": TWO
    }  # fmt: skip
    assert by_shape == {"shape", "size", "like", "product"}


def test_only_values_that_may_have_a_wanted_size_are_computed() -> None:
    made = model(
        node("Neg", ["student.p_one"], ["six"]),
        node("Concat", ["student.p_one", "student.p_one"], ["twelve"], axis=0),
        node("NonZero", ["student.p_one"], ["unknown"]),
        p_one=np.ones((2, 3), np.float32),
    )
    assert _computed(made, frozenset({6})) == ["six", "unknown", "pixels", "logits"]
    assert _computed(made, frozenset({12})) == ["twelve", "unknown", "pixels", "logits"]


def test_constants_are_initializers_and_what_is_computed() -> None:
    weight, other = np.arange(6, dtype=np.float32).reshape(2, 3), np.full(6, 0.5, np.float32)
    made = model(
        node("Mul", ["student.p_two", "student.p_one"], ["product"]),
        node("Neg", ["table"], ["negative"]),
        node("Neg", ["small"], ["of_small"]),
        p_one=weight, p_two=2 * weight, table=other, small=np.ones(2, np.float32),
    )  # fmt: skip
    found = list(_constants(made, frozenset({"p_one", "p_two", "gone"}), frozenset({6}), 8))
    assert [(each.sources, each.value.tolist()) for each in found] == [
        ((), other.tolist()),
        (("p_one", "p_two"), (2 * weight * weight).tolist()),
        ((), (-other).tolist()),
    ]


def test_values_that_follow_from_the_number_of_images_are_left_out_though_their_shape_is_the_same() -> None:
    made = model(
        node("Shape", ["image"], ["batch"], start=0, end=1),
        node("Cast", ["batch"], ["count"], to=TensorProto.FLOAT),
        node("Mul", ["student.p_one", "count"], ["by_batch"]),
        node("Shape", ["image"], ["side"], start=1, end=2),
        node("Cast", ["side"], ["length"], to=TensorProto.FLOAT),
        node("Mul", ["student.p_one", "length"], ["by_side"]),
        p_one=np.array([1, 2], np.float32),
    )
    found = list(_constants(made, frozenset({"p_one"}), frozenset({2}), 8))
    assert [(each.value.tolist(), each.sources) for each in found] == [([8, 16], ("p_one",))]


def test_nothing_is_run_where_nothing_is_asked_for() -> None:
    assert _run(onnx.ModelProto(), [], 2, 8) == []
    (pixels,) = _run(model(), ["pixels"], 3, 8)
    assert pixels.shape == (3, 8, 8, 3) and pixels.max() == 255 and pixels.min() == 0


def test_network_is_built_afresh_and_given_the_state_alone(tmp_path: Path) -> None:
    student = make_student(tmp_path, Architecture("resnet8", "cifar"), 32)
    drawn = torch.get_rng_state()
    student.module.train()
    fresh = _built_afresh(student)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert fresh is not None and fresh.module is not student.module and not fresh.module.training
    assert not any(value.requires_grad for value in fresh.module.parameters())
    state = student.module.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in fresh.module.state_dict().items())
    assert (fresh.labels, fresh.architecture, fresh.preprocessing) == (
        LABELS,
        student.architecture,
        student.preprocessing,
    )
    assert _built_afresh(dataclasses.replace(student, labels=LABELS[:3])) is None  # another shape
    assert recompute(dataclasses.replace(student, labels=LABELS[:3]), 20, {7}) == []
    again = _built_afresh(student)
    assert again is not None
    module = copy.deepcopy(student.module)
    module.register_buffer("unsaved", torch.ones(2), persistent=False)
    unsaved = _built_afresh(dataclasses.replace(student, module=module))
    assert unsaved is not None and "unsaved" not in dict(unsaved.module.named_buffers())
