import copy
import logging
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from exporters.student.architectures import Architecture, build
from pipeline.distill.build import build_method
from pipeline.distill.settings import DistillSettings
from pipeline.distill.task import DistillationTask
from pipeline.models.tapped import TappedNetwork
from pipeline.training import loop
from pipeline.training.compilation import compiled
from pipeline.training.settings import NetworkFitSettings
from tests.pipeline.training.toy import CLASSES, SIZE, console, make_training, run

Forward = Callable[..., Any]


def tapped(seed: int = 0) -> TappedNetwork:
    torch.manual_seed(seed)
    return TappedNetwork(build(Architecture("resnet8", "cifar"), CLASSES), (0.5,) * 3, (0.2,) * 3, SIZE).train()


def images(count: int = 4) -> torch.Tensor:
    found = torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return found.contiguous(memory_format=torch.channels_last)


class Compiler:
    """Stands for `torch.compile`: what it compiled, and how often that was called; fails for some modules."""

    def __init__(self, fails_for: tuple[type, ...] = ()) -> None:
        self.fails_for, self.modules, self.calls = fails_for, [], 0

    def __call__(self, forward: Any) -> Forward:
        self.modules.append(type(forward.__self__))

        def fast(*arguments: Any) -> Any:
            if isinstance(forward.__self__, self.fails_for):
                raise RuntimeError("no compiler\nwith a long report")
            self.calls += 1
            return forward(*arguments)

        return fast


def test_compiled_code_gives_the_gradients_of_the_network_and_trying_leaves_no_trace() -> None:
    network, shown = tapped(), images()
    plain = copy.deepcopy(network)
    plain(shown).logits.square().sum().backward()
    state, random = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    out, stream = console()
    backend = partial(torch.compile, backend="aot_eager")
    with compiled(network, torch.zeros_like(shown), out, "student", compile_=backend):
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
        assert torch.equal(torch.get_rng_state(), random)
        assert all(parameter.grad is None for parameter in network.parameters())
        output = network(shown)
        output.logits.square().sum().backward()
        assert output.feature_map is not None
    assert "student: compiled the whole network" in stream.getvalue()
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(network.state_dict()[key], value)


@pytest.mark.slow
def test_inductor_gives_the_logits_of_the_network() -> None:
    network, shown = tapped(), images()
    expected = copy.deepcopy(network)(shown).logits
    out, stream = console()
    with compiled(network, shown, out, "student"):
        assert "student: compiled the whole network" in stream.getvalue()
        torch.testing.assert_close(network(shown).logits, expected, rtol=1e-4, atol=1e-5)


def test_only_train_mode_is_compiled_and_the_block_ends_as_it_began() -> None:
    network, compiler = tapped(), Compiler()
    with compiled(network, images(), console()[0], "student", compile_=compiler):
        tried = compiler.calls
        network(images())
        assert compiler.calls == tried + 1
        network.eval()
        network(images(2))
        assert compiler.calls == tried + 1
    assert not any("forward" in module.__dict__ for module in network.modules())


def test_what_the_compiler_logs_and_warns_of_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def compiler(forward: Forward) -> Forward:
        def fast(*arguments: Any) -> Any:
            logging.getLogger("torch.utils.cpp_extension").warning("No CUDA runtime is found")
            warnings.warn("slow", stacklevel=1)
            return forward(*arguments)

        return fast

    with (
        warnings.catch_warnings(record=True) as caught,
        compiled(tapped(), images(), console()[0], "student", compile_=compiler),
    ):
        assert not caplog.records and not caught


def test_blocks_are_compiled_where_the_whole_is_not() -> None:
    network, compiler = tapped(), Compiler(fails_for=(TappedNetwork,))
    out, stream = console()
    with compiled(network, images(), out, "student", compile_=compiler):
        assert [kind.__name__ for kind in compiler.modules] == ["TappedNetwork", *["BasicBlock"] * 3]
        assert "forward" not in network.__dict__ and compiler.calls == 3
    assert "student: compiled its repeated blocks" in stream.getvalue()


def test_network_that_cannot_be_compiled_is_trained_as_it_is() -> None:
    network, compiler = tapped(), Compiler(fails_for=(nn.Module,))
    expected = copy.deepcopy(network)(images()).logits
    out, stream = console()
    with compiled(network, images(), out, "student", compile_=compiler):
        assert torch.equal(network(images()).logits, expected)
    assert (
        "WARNING: student: compile: not compiled, and trained as it is: RuntimeError: no compiler\n"
        in stream.getvalue()
    )


def test_training_is_the_same_to_the_bit_whatever_computes_its_passes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = Compiler()
    monkeypatch.setattr(loop, "compiled", partial(compiled, compile_=compiler))
    states = []
    for compile_ in (False, True):
        student = tapped(3)
        task: Any = DistillationTask(student, build_method(DistillSettings(method="ce"), student.shape, None, None))
        training = make_training(task, settings={"epochs": 2, "compile": compile_})
        fitted = run(training, tmp_path / str(compile_))
        states.append(fitted.final_state)
        assert ["compile" in row["time"]["parts"] for row in fitted.history] == [compile_, False]
        assert compiler.calls == (1 + 2 * 3 if compile_ else 0)
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_compiling_and_synchronised_norms_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="expected false where @sync_batch_norm is true"):
        NetworkFitSettings(compile=True, sync_batch_norm=True)


def test_cuda_graphs_are_a_mode_of_the_compiler_and_off_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []

    def compiler(forward: Forward, **options: Any) -> Forward:
        asked.append(options)
        return forward

    monkeypatch.setattr(loop, "compiled", partial(compiled, compile_=compiler))
    states = []
    for graphs in (False, True):
        student = tapped(3)
        task: Any = DistillationTask(student, build_method(DistillSettings(method="ce"), student.shape, None, None))
        training = make_training(task, settings={"epochs": 1, "compile": True, "cuda_graphs": graphs})
        states.append(run(training, tmp_path / str(graphs)).final_state)
    assert asked == [{}, {"mode": "reduce-overhead"}]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_cuda_graphs_are_of_compiled_code() -> None:
    with pytest.raises(ValueError, match="expected false where @compile is false, got true"):
        NetworkFitSettings(cuda_graphs=True)


@pytest.mark.gpu
def test_training_by_cuda_graphs_ends_as_without() -> None:
    """A few steps with updates between them, whose outputs the next replay overwrites."""
    ends = []
    for graphs in (False, True):
        network = tapped().cuda().to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(network.parameters(), 0.01)
        shown, out = images().cuda(), console()[0]
        with compiled(network, shown, out, "student", cuda_graphs=graphs):
            for _ in range(4):
                optimizer.zero_grad(set_to_none=True)
                network(shown).logits.square().mean().backward()
                optimizer.step()
        ends.append([parameter.detach().clone() for parameter in network.parameters()])
    for ours, theirs in zip(*ends, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
