"""One line for people about each result: the same in a run and in the command `export`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporters.artifacts.variants import Variant
    from exporters.parity import ParityResult


def compared(name: str, result: "ParityResult", images: str = "images") -> str:
    """How far a file is from the student; the drop in accuracy where labels are known."""
    start = f"{name} on {result.images:,} {images}:"
    if result.max_scaled_error is None or result.mean_scaled_error is None:
        return f"{start} no finite logits"
    drop = ""
    if result.accuracy_drop is not None and result.accuracy_drop_interval is not None:
        low, high = (100 * bound for bound in result.accuracy_drop_interval)
        drop = f" accuracy drop {100 * result.accuracy_drop:+.3f} points (95 %: {low:+.2f} to {high:+.2f}),"
    return (
        f"{start} top-1 agreement {100 * result.top1_agreement:.3f} %,{drop}"
        f" error max {result.max_scaled_error:.2e} mean {result.mean_scaled_error:.2e} of the logits' scale"
    )


def made(variant: "Variant") -> str:
    """A candidate's size, and the result of its search."""
    return (
        f"{variant.file}: {len(variant.data) / 1e6:.2f} MB, {_kept_in_fp32(len(variant.kept_float))},"
        f" {variant.trials} {'candidate' if variant.trials == 1 else 'candidates'} tried;"
        f" {traced(len(variant.initializers))}"
    )


def traced(tensors: int) -> str:
    """Every tensor of a file was traced back to the model that it was made from."""
    return f"all {tensors} tensors come from the trained model" if tensors != 1 else "its tensor is the trained model's"


def _kept_in_fp32(nodes: int) -> str:
    if nodes == 0:
        return "no node stays in fp32"
    return "1 node stays in fp32" if nodes == 1 else f"{nodes} nodes stay in fp32"


def accuracy_of_original(top1: float, images: int, chance: float) -> list[str]:
    """The accuracy of the model that is exported, with a warning where it is no better than guessing.

    Args:
        top1: its accuracy in [0, 1].
        images: on how many images.
        chance: of `exporters.parity.chance.chance_level`; 1 where all images are of one class.
    """
    from exporters.parity.chance import interval_text, is_above_chance, not_above_chance

    lines = [
        f"the original model: accuracy {100 * top1:.2f} % (95 % interval {interval_text(top1, images, ' to ')}) on"
        f" {images:,} images"
    ]
    if chance < 1 and not is_above_chance(round(top1 * images), images, chance):
        score = {"top1": top1, "images": images, "chance": chance}
        lines.append(
            f"WARNING: {not_above_chance('the original model', score, '')}. Are the labels in the order of its logits,"
            " and are mean, std and image size those that it was trained with?"
        )
    return lines
