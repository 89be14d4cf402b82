"""Checks that a shipped network holds only a student: the logits depend on each part, and none is larger than needed.

These checks do not rely on the manifest's tensors and operators: they hold where those were forged too.
"""

import re

from exporters.audit.budget import check_budget
from exporters.audit.integers import STORES
from exporters.audit.texts import check_paths
from exporters.core.errors import GateError
from exporters.core.outputs import CAM_NAME
from exporters.onnx.reader import OnnxFile

_MOST_ROWS = 10_000  # a table of tokens has more, a table of relative positions fewer
_MAP_OPERATORS = frozenset({"ArgMax", "Cast", "Gather", "MatMul", "Mul", "Reshape", "Transpose"})
_MOST_MAP_NODES = 12
_MOST_SIDES = 3  # of the shape that a Reshape gives

_FOREIGN_OPERATORS = re.compile(
    r".*::.*|Bernoulli|If|ImageDecoder|Loop|Multinomial|Optional.*|Random.*|RegexFullMatch|Scan|Sequence.*|String.*"
    r"|TfIdfVectorizer"
)
_FOREIGN_NAMES = re.compile(
    r"teacher|token_embedding|text_projection|visual_projection|exp_avg|momentum_buffer|optimi[sz]er|open_clip", re.I
)


def audit_network(model: OnnxFile, data: bytes, name: str, parameters: int) -> None:
    """Check a model of a bundle.

    Args:
        model, data: the file, and its bytes.
        name: of the file, for messages.
        parameters: how many the student has.

    Raises:
        GateError: an operator that no image classifier has; a tensor or node that the logits do not follow from, but
            for the few that make a class activation map; more than `check_budget` allows; a table of tokens; a name of
            teachers or optimizers; a path of some machine.
    """
    foreign = sorted(operator for operator in model.operators if _FOREIGN_OPERATORS.fullmatch(operator))
    if foreign or model.functions:
        raise GateError(f"{name}: has what no image classifier needs: {', '.join([*foreign, *model.functions][:5])}")
    check_budget(model, len(data), name, parameters)
    dead = _dead(model)
    if dead:
        raise GateError(f"{name}: the logits do not follow from {', '.join(dead[:5])}: not a part of the student")
    mapping = _check_map(model, name)
    named = sorted({text for text in model.texts if _FOREIGN_NAMES.search(text)})
    if named:
        raise GateError(f"{name}: named like a part of a teacher or an optimizer: {', '.join(named[:5])}")
    tables = {tensor.name: tensor.dims for tensor in model.tensors if tensor.dtype in STORES}
    for node in model.nodes:
        looked_up = node.operator.startswith("Gather") and node.inputs and node.name not in mapping
        rows = tables.get(node.inputs[0], (0,)) if looked_up else (0,)
        if rows and rows[0] >= _MOST_ROWS:
            raise GateError(f"{name}: {node.inputs[0]} is looked up by its {rows[0]:,} rows, as tokens are")
    check_paths(name, [*model.texts, *model.metadata.values(), model.producer])


def _check_map(model: OnnxFile, name: str) -> set[str]:
    """The nodes that the class activation map alone follows from; GateError where they are more than a map needs.

    They bring nothing of their own but shapes: weights and features are those that the logits follow from.
    """
    if CAM_NAME not in {value.name for value in model.outputs}:
        return set()
    needed = _needed(model, [value.name for value in model.outputs if value.name != CAM_NAME])
    nodes = [node for node in model.nodes if not needed.intersection(node.outputs)]
    operators = {node.operator for node in nodes} - _MAP_OPERATORS
    if len(nodes) > _MOST_MAP_NODES or operators:
        raise GateError(
            f"{name}: {CAM_NAME} follows from {len(nodes)} operators that the logits do not need, more than a map does"
        )
    own = [tensor for tensor in model.tensors if tensor.storage == "initializer" and tensor.name not in needed]
    foreign = [tensor.name for tensor in own if tensor.dtype != "int64" or tensor.array().size > _MOST_SIDES]
    if foreign:
        raise GateError(f"{name}: the logits do not follow from {', '.join(foreign[:5])}: not a part of the student")
    return {node.name for node in nodes}


def _dead(model: OnnxFile) -> list[str]:
    """Initializers and nodes that no output follows from."""
    needed = _needed(model, [value.name for value in model.outputs])
    unused = [tensor.name for tensor in model.tensors if tensor.storage == "initializer" and tensor.name not in needed]
    return unused + [node.name for node in model.nodes if not needed.intersection(node.outputs)]


def _needed(model: OnnxFile, outputs: list[str]) -> set[str]:
    """All values that these outputs follow from, themselves among them."""
    makers = {output: node for node in model.nodes for output in node.outputs if output}
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        value = waiting.pop()
        if value in needed:
            continue
        needed.add(value)
        if value in makers:
            waiting += [source for source in makers[value].inputs if source]
    return needed
