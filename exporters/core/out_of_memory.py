"""Recognising that the memory of the machine or of a device ran out, however a library says so; without torch."""

import re

_WORDS = (
    "out of memory",  # CUDA, MPS, HIP
    "DefaultCPUAllocator",  # PyTorch on the CPU
    "ALLOC_FAILED",  # cuBLAS and cuDNN
    "Failed to allocate memory",  # ONNX Runtime
)

_PLACE = re.compile(r"^\[enforce fail at [^]]*\] [^.]*\. ")
"""Where in PyTorch's own code it was noticed."""

REMEDY = "Free memory, for a GPU that of other processes (nvidia-smi shows them), or use smaller batches or images."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: `MemoryError`, PyTorch's own class, or a `RuntimeError` in such words."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def describe_out_of_memory(error: BaseException) -> str:
    """The first sentence of what was said, such as `CUDA out of memory. Tried to allocate 2.00 GiB`."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "out of memory")
    sentences = _PLACE.sub("", said).split(". ")
    return ". ".join(sentences[:2]).rstrip(".")[:300]
