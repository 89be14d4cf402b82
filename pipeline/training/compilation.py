"""A network compiled for its training by PyTorch (`compile`): whole, else block by block, else not at all."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from exporters.core.process_state import quiet
from pipeline.models.blocks import repeated_blocks

if TYPE_CHECKING:
    from pipeline.console import Console

Compile = Callable[..., Callable[..., Any]]
"""Takes a function, and options of `torch.compile`."""


@dataclass(frozen=True)
class Compiling:
    """What compiling took, in vain or not.

    Attributes:
        seconds: on the clock.
        cpu_seconds: of all threads of this process; compilers that it starts are left out.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def compiled(
    network: nn.Module,
    images: Tensor,
    console: "Console",
    name: str,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    compile_: Compile = torch.compile,
    *,
    cuda_graphs: bool = False,
) -> Iterator[Compiling]:
    """A block in which a network computes by compiled code while it is in train mode.

    Whether that works is tried before anything is trained, forward and backward, and leaves weights, statistics and
    random numbers as they were. Where the whole network cannot be compiled, the blocks that it repeats are; where they
    cannot either, it is trained as it is, and the console says why. What is saved and exported is never compiled.

    Args:
        network: in train mode, as trained.
        images: a batch of the shape and layout that will be trained on; its values do not matter.
        console: says what was compiled.
        name: of the training.
        autocast: the context in which the training computes.
        compile_: `torch.compile`.
        cuda_graphs: replay what was compiled as CUDA graphs.

    Yields:
        What it took.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    if cuda_graphs:
        compile_ = partial(compile_, mode="reduce-overhead")
    choices: tuple[tuple[str, Sequence[nn.Module]], ...]
    choices = (("the whole network", [network]), ("its repeated blocks", repeated_blocks(network)))
    failure = ""
    with ExitStack() as stack:
        for what, modules in choices:
            if not modules:
                continue
            try:
                with ExitStack() as trial, console.track(f"{name}: compiling {what}", None), autocast():
                    for module in modules:
                        trial.enter_context(_by(compile_, module))
                    _try(network, images)
                    stack.enter_context(trial.pop_all())
                took = Compiling(time.perf_counter() - wall, time.process_time() - cpu)
                console.say(f"{name}: compiled {what} in {took.seconds:.0f} s")
                break
            except Exception as error:  # each stage of the compiler, and the C++ compiler that it calls, has its own
                failure = failure or _first_line(error)
        else:
            took = Compiling(time.perf_counter() - wall, time.process_time() - cpu)
            console.warn(f"{name}: compile: not compiled, and trained as it is: {failure}")
        yield took


@contextmanager
def _by(compile_: Compile, module: nn.Module) -> Iterator[None]:
    """A block in which a module computes by compiled code in train mode."""
    plain = module.forward
    fast = compile_(plain)

    def forward(*arguments: Any, **options: Any) -> Any:
        # Validation has batches of other sizes, each of which would be compiled anew.
        return (fast if module.training else plain)(*arguments, **options)

    own = module.__dict__.get("forward")
    module.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def _try(network: nn.Module, images: Tensor) -> None:
    """A forward and a backward pass that leave no trace; compiles both."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    gradients = {parameter: parameter.grad for parameter in network.parameters()}
    device = [images.device] if images.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=device), quiet():  # the compiler logs what it does not find or need
            _total(network(images)).backward()
    finally:
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])
        for parameter, gradient in gradients.items():
            parameter.grad = gradient


def _total(output: Any) -> Tensor:
    """A sum over all tensors with a gradient, in any nesting."""
    if isinstance(output, Tensor):
        return output.float().sum() if output.requires_grad else output.new_zeros(())
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, Sequence) else ()
    return sum((_total(value) for value in values), start=torch.zeros(()))


def _first_line(error: Exception) -> str:
    """What went wrong, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__
