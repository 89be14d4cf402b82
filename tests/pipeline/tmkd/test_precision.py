import pytest
import torch

from pipeline.tmkd.precision import full_precision, widen


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [(torch.bfloat16, torch.float32), (torch.float16, torch.float32), (torch.float32, torch.float32),
     (torch.float64, torch.float64)],
)  # fmt: skip
def test_widened_tensors_are_fp32_but_float64_stays(dtype: torch.dtype, wide: torch.dtype) -> None:
    assert widen(torch.ones(2, dtype=dtype)).dtype == wide


def test_autocast_is_off_inside() -> None:
    matrix = torch.ones(3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (matrix @ matrix).dtype == torch.bfloat16
        with full_precision(matrix):
            assert (matrix @ matrix).dtype == torch.float32
