import resource
import subprocess
import sys

import pytest
import torch

from exporters.core.out_of_memory import describe_out_of_memory, is_out_of_memory


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_that_say_memory_ran_out(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_description_is_the_first_sentences_of_the_first_line() -> None:
    error = torch.OutOfMemoryError("\nCUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 9 GiB.\nSee docs")
    assert describe_out_of_memory(error) == "CUDA out of memory. Tried to allocate 2.00 GiB"
    assert describe_out_of_memory(MemoryError()) == "out of memory"
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory")
    assert describe_out_of_memory(error) == "DefaultCPUAllocator: can't allocate memory"


CODE = """
import resource, sys, torch
from exporters.core.out_of_memory import describe_out_of_memory, is_out_of_memory
resource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36))
try:
    torch.empty(2**37, dtype=torch.uint8)
except Exception as error:
    print(is_out_of_memory(error), describe_out_of_memory(error))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="no limit of address space here")
def test_an_allocation_that_fails_on_the_cpu_is_recognised() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert found.stdout.startswith("True ") and "allocate" in found.stdout, found.stderr
