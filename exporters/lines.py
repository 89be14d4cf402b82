"""One line for people about each result: the same in a run and in the command `export`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporters.parity import ParityResult
    from exporters.variants import Variant


def compared(name: str, result: "ParityResult", images: str = "images") -> str:
    """How far a file is from the student; the drop in accuracy where labels are known."""
    told = f"{name} on {result.images:,} {images}:"
    if result.max_scaled_error is None or result.mean_scaled_error is None:
        return f"{told} no finite logits"
    drop = ""
    if result.accuracy_drop is not None and result.accuracy_drop_interval is not None:
        low, high = (100 * bound for bound in result.accuracy_drop_interval)
        drop = f" accuracy drop {100 * result.accuracy_drop:+.3f} points (95 %: {low:+.2f} to {high:+.2f}),"
    return (
        f"{told} top-1 agreement {100 * result.top1_agreement:.3f} %,{drop}"
        f" error max {result.max_scaled_error:.2e} mean {result.mean_scaled_error:.2e} of the logits' scale"
    )


def made(variant: "Variant") -> str:
    """How large a candidate is, and what its search came to."""
    return (
        f"{variant.file}: {len(variant.data) / 1e6:.2f} MB, {len(variant.kept_float)} nodes stay in fp32,"
        f" {variant.trials} tried; all {len(variant.initializers)} tensors are the student's own"
    )
