from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn

from pipeline.data.loading import Batch
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import Fitted, fit
from tests.pipeline.training.toy import BATCH, SIZE, STEPS, Call, Net, batches_of, console, make_training, run


def same(one: Any, two: Any) -> bool:
    """Equal to the bit, in any nesting."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(same(left, right) for left, right in zip(one, two, strict=True))
    return torch.equal(one, two) if isinstance(one, Tensor) else one == two


def timeless(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "time"} for row in history]


def assert_same_outcome(one: Fitted, two: Fitted, folders: tuple[Path, Path]) -> None:
    assert same(one.final_state, two.final_state)
    assert same(one.chosen_state, two.chosen_state)
    assert (one.chosen_epoch, one.chosen_score) == (two.chosen_epoch, two.chosen_score)
    assert timeless(one.history) == timeless(two.history)
    left, right = (Checkpoint(folder / "checkpoint.pt", "one").load() for folder in folders)
    assert left is not None
    assert right is not None
    for key in ("module", "optimizer", "average", "random_states", "chosen_state", "precision"):
        assert same(left[key], right[key]), key


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("settings", "precision"),
    [
        ({"schedule": {"kind": "one_cycle"}, "nesterov": True}, "fp32"),
        ({"optimizer": "adamw", "lr": 0.01, "gradient_clip": 0.5}, "fp32"),
        ({"schedule": {"kind": "milestones", "milestones": (1, 3)}}, "bf16"),
        ({"optimizer": "adamw", "lr": 0.01, "head_epochs": 2, "head_lr": 5.0, "layer_decay": 0.5, "ema": 0.9}, "fp32"),
        ({"head_epochs": 3, "ema": 0.9, "accumulate": 2}, "bf16"),
    ],
)
@pytest.mark.parametrize("where", ["after epoch 2", "within epoch 3", "after a step", "after the last"])
def test_resumed_training_equals_uninterrupted_training(
    settings: dict[str, Any], precision: str, where: str, tmp_path: Path
):
    folders = (tmp_path / "one", tmp_path / "two")
    scores = [0.5, 0.7, 0.6, 0.7]
    whole = run(make_training(settings=settings, scores=scores), folders[0], precision=precision)

    def stop(epoch: int, _metrics: dict[str, float]) -> None:
        if (where, epoch) in (("after epoch 2", 2), ("after the last", 4)):
            raise Stopped

    def break_off(epoch: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches_of(epoch)):
            if (epoch, number) == (2, 2) and where in ("within epoch 3", "after a step"):
                raise Stopped
            yield batch

    with pytest.raises(Stopped):
        run(
            make_training(settings=settings, scores=scores, batches=break_off),
            folders[1],
            stop,
            precision=precision,
            every_seconds=0 if where == "after a step" else None,
        )
    saved = Checkpoint(folders[1] / "checkpoint.pt", "one").load()
    assert saved is not None and saved["step"] == (2 if where == "after a step" else 0)
    # Another process: nothing of the first attempt is left but the file.
    torch.manual_seed(99)
    torch.rand(11)
    logged: list[int] = []
    left = scores[4:] if where == "after the last" else scores[2:]
    again = run(
        make_training(Net(33, 0.5), settings=settings, scores=left),
        folders[1],
        lambda epoch, _metrics: logged.append(epoch),
        precision=precision,
    )
    # The epochs before the stop are logged again: the first process may have died before it could log the last one.
    assert logged == [1, 2, 3, 4]
    assert_same_outcome(whole, again, folders)
    assert (whole.chosen_epoch, whole.chosen_score) == (2, 0.7)


def test_each_epoch_asks_for_batches_of_its_seed(tmp_path: Path):
    training = make_training(seed=21)
    run(training, tmp_path)
    assert training.loader.asked == [(BATCH, 21, epoch) for epoch in range(4)]


def test_drop_out_follows_from_the_seed(tmp_path: Path):
    one = run(make_training(), tmp_path / "one")
    torch.rand(7)
    two = run(make_training(), tmp_path / "two")
    other = run(make_training(seed=8), tmp_path / "other")
    without = run(make_training(Net(1, 0.0)), tmp_path / "without")
    assert same(one.final_state, two.final_state)
    assert not same(one.final_state, other.final_state)
    assert not same(one.final_state, without.final_state)


@pytest.mark.parametrize("damage", ["another fingerprint", "truncated", "garbage", "a bit"])
def test_unusable_checkpoint_is_ignored(damage: str, tmp_path: Path):
    folders = (tmp_path / "fresh", tmp_path / "stale")
    fresh = run(make_training(), folders[0])
    run(
        make_training(Net(5, 0.5), seed=21), folders[1], fingerprint="two" if damage == "another fingerprint" else "one"
    )
    path = folders[1] / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    (folders[1] / "checkpoint.1.pt").unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "garbage":
        path.write_bytes(b"\x80\x02garbage" * 40)
    elif damage == "a bit":
        weight = Checkpoint(path, "one").load()["module"]["head.weight"]
        content[content.index(weight.numpy().tobytes()) + 5] ^= 1
        path.write_bytes(content)
    assert_same_outcome(fresh, run(make_training(), folders[1]), folders)


@pytest.mark.parametrize("every_seconds", [None, 0])
def test_damaged_checkpoint_is_named_and_the_one_before_is_used(every_seconds: float | None, tmp_path: Path):
    folders = (tmp_path / "one", tmp_path / "two")
    whole = run(make_training(), folders[0])

    def break_off(epoch: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches_of(epoch)):
            if (epoch, number) == (2, 2):
                raise Stopped
            yield batch

    with pytest.raises(Stopped):
        run(make_training(batches=break_off), folders[1], every_seconds=every_seconds)
    path = folders[1] / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    shown, stream = console()
    again = fit(make_training(Net(33, 0.5)), make_fabric("cpu", "fp32"), Checkpoint(path, "one"), shown)
    said = stream.getvalue()
    assert f"WARNING: {path} is damaged (its checksum is another): the one before is used, " in said
    place = "after epoch 2 of 4, 1 of 3 steps into the next" if every_seconds == 0 else "after epoch 1 of 4"
    assert f"toy: resuming {place}\n" in said
    assert_same_outcome(whole, again, folders)


def test_no_batch_is_trained_twice_and_losses_are_those_of_the_whole_epoch(tmp_path: Path):
    trained: list[tuple[int, int]] = []

    def broken_off_at(stop: tuple[int, int] | None) -> Any:
        def batches(epoch: int) -> Iterator[Batch]:
            for number, batch in enumerate(batches_of(epoch)):
                if (epoch, number) == stop:
                    raise Stopped
                yield batch

        return batches

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        trained.append((call.samples.epoch, int(call.samples.indices[0])))
        return {"ce": nn.functional.cross_entropy(task.logits(call.images), call.labels)}

    for stop in [(0, 1), (0, 2), (1, 0), (2, 2), (3, 1), None]:
        training = make_training(Net(1, 0.5), losses=losses, batches=broken_off_at(stop))
        if stop is None:
            fitted = run(training, tmp_path / "two", every_seconds=0)
        else:
            with pytest.raises(Stopped):
                run(training, tmp_path / "two", every_seconds=0)
    assert len(trained) == len(set(trained)) == 4 * STEPS
    assert timeless(fitted.history) == timeless(run(make_training(), tmp_path / "one").history)
    assert all(row["time"]["parts"]["checkpoint"] >= 0 for row in fitted.history)


@pytest.mark.parametrize(("every_seconds", "keep"), [(None, 1), (0, 1), (0, 3), (3600, 2)])
def test_how_often_the_state_is_saved_changes_nothing(every_seconds: float | None, keep: int, tmp_path: Path):
    """Against a loop that saves after each epoch alone."""
    settings = {"accumulate": 2, "ema": 0.9}
    plain = run(make_training(settings=settings), tmp_path)
    checkpoint = Checkpoint(tmp_path / "other" / "checkpoint.pt", "one", keep, every_seconds)
    fitted = fit(make_training(settings=settings), make_fabric("cpu", "fp32"), checkpoint, console()[0])
    assert same(fitted.final_state, plain.final_state) and same(fitted.chosen_state, plain.chosen_state)
    assert timeless(fitted.history) == timeless(plain.history)
    assert len(list(checkpoint.path.parent.iterdir())) == keep


def test_checkpoint_that_calls_an_epoch_a_pass_is_resumed(tmp_path: Path):
    def stop(epoch: int, _metrics: dict) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one")
    with pytest.raises(KeyboardInterrupt):
        fit(make_training(), make_fabric("cpu", "fp32"), checkpoint, console()[0], stop)
    state = checkpoint.load()
    for row in state["history"]:
        row["pass"] = row.pop("epoch")
    checkpoint.save(state)
    history = fit(make_training(), make_fabric("cpu", "fp32"), checkpoint, console()[0]).history
    assert [row["epoch"] for row in history] == [1, 2, 3, 4] and not any("pass" in row for row in history)


def test_resuming_is_reported(tmp_path: Path):
    def stop(epoch: int, _metrics: dict[str, float]) -> None:
        if epoch == 3:
            raise Stopped

    with pytest.raises(Stopped):
        run(make_training(), tmp_path, stop)
    shown, stream = console()
    fit(make_training(), make_fabric("cpu", "fp32"), Checkpoint(tmp_path / "checkpoint.pt", "one"), shown)
    assert "toy: resuming after epoch 3 of 4" in stream.getvalue()
    assert "toy 4/4" in stream.getvalue()
    assert "toy 3/4" not in stream.getvalue()


@pytest.mark.parametrize(("before", "after"), [("fp16", "bf16"), ("bf16", "fp16"), ("fp32", "bf16")])
def test_resuming_in_another_precision_warns(before: str, after: str, tmp_path: Path):
    fabrics = {
        "fp32": make_fabric("cpu", "fp32"),
        "bf16": make_fabric("cpu", "bf16"),
        "fp16": Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", device="cpu")),
    }

    def stop(epoch: int, _metrics: dict[str, float]) -> None:
        if epoch == 3:
            raise Stopped

    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one")
    with pytest.raises(Stopped):
        fit(make_training(), fabrics[before], checkpoint, console()[0], stop)
    shown, stream = console()
    assert len(fit(make_training(), fabrics[after], checkpoint, shown).history) == 4
    names = {name: fabric.strategy.precision.precision for name, fabric in fabrics.items()}
    assert f"WARNING: toy: the epochs so far were computed in {names[before]}" in stream.getvalue()
    assert f"the remaining ones in {names[after]}" in stream.getvalue()


def test_earliest_of_the_best_epochs_is_chosen(tmp_path: Path):
    training = make_training(scores=[0.2, 0.6, 0.6, 0.1])
    states: list[dict[str, Tensor]] = []

    def remember(_epoch: int, _metrics: dict[str, float]) -> None:
        states.append({key: value.clone() for key, value in training.task.state_dict().items()})

    fitted = run(training, tmp_path, remember)
    assert (fitted.chosen_epoch, fitted.chosen_score) == (2, 0.6)
    assert same(fitted.chosen_state, states[1])
    assert same(fitted.final_state, states[3])
    assert not same(fitted.chosen_state, fitted.final_state)
    assert [row["validation_top1"] for row in fitted.history] == [0.2, 0.6, 0.6, 0.1]


def test_epoch_with_score_zero_can_be_chosen(tmp_path: Path):
    fitted = run(make_training(scores=[0.0, 0.0, 0.0, 0.0]), tmp_path)
    assert (fitted.chosen_epoch, fitted.chosen_score) == (1, 0.0)
    assert fitted.chosen_state


def test_steps_run_in_train_mode_and_validation_in_eval_mode(tmp_path: Path):
    net = Net(1, 0.5)
    modes: list[bool] = []

    def losses(task: Any, step: Call) -> dict[str, Tensor]:
        modes.append(net.training and net.body.training)
        return {"ce": task.logits(step.images).square().mean()}

    run(make_training(net, losses=losses), tmp_path)  # its classifier asserts eval mode
    assert modes == [True] * 4 * STEPS


def test_loss_falls_and_labels_are_learnt(tmp_path: Path):
    net = Net(1, 0.0)
    bright = torch.full((BATCH, 3, SIZE, SIZE), 220, dtype=torch.uint8)
    bright[::2] = 30
    labels = torch.arange(BATCH) % 2

    def batches(_epoch: int) -> Iterator[Batch]:
        for _ in range(STEPS):
            yield Batch(bright, labels, torch.arange(BATCH))

    fitted = run(make_training(net, batches=batches, settings={"epochs": 10}), tmp_path)
    assert fitted.history[-1]["loss"] < 0.1 < fitted.history[0]["loss"]
    net.load_state_dict(fitted.final_state)
    with torch.no_grad():
        assert torch.equal(net.eval().logits(bright.float() / 255).argmax(dim=1), labels)


def test_states_are_copies_on_the_cpu(tmp_path: Path):
    net = Net(1, 0.5)
    fitted = run(make_training(net), tmp_path)
    kept = {key: value.clone() for key, value in fitted.final_state.items()}
    with torch.no_grad():
        net.head.weight.add_(1)
    assert same(fitted.final_state, kept)
    assert all(value.device.type == "cpu" and not value.requires_grad for value in fitted.final_state.values())
    assert list(fitted.final_state) == list(net.state_dict())


@pytest.mark.gpu
def test_resumed_training_equals_uninterrupted_training_on_a_gpu(tmp_path: Path):
    def attempt(folder: Path, stop_after: int | None) -> Fitted:
        def stop(epoch: int, _metrics: dict[str, float]) -> None:
            if epoch == stop_after:
                raise Stopped

        checkpoint = Checkpoint(folder / "checkpoint.pt", "one")
        return fit(make_training(), make_fabric("cuda", "auto"), checkpoint, console()[0], stop)

    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        whole = attempt(tmp_path / "one", None)
        with pytest.raises(Stopped):
            attempt(tmp_path / "two", 2)
        torch.cuda.manual_seed(4)
        assert_same_outcome(whole, attempt(tmp_path / "two", None), (tmp_path / "one", tmp_path / "two"))
    finally:
        torch.use_deterministic_algorithms(False)


EARLY = [0.5, 0.6, 0.6, 0.55, 0.7, 0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("early_stop", "epochs", "chosen"), [(None, 8, 5), (1, 3, 2), (2, 4, 2), (3, 8, 5), (4, 8, 5), (7, 8, 5)]
)
def test_early_stop_ends_training_after_epochs_without_a_better_score(
    early_stop: int | None, epochs: int, chosen: int, tmp_path: Path
):
    settings = {"epochs": 8, "early_stop": early_stop, "schedule": {"kind": "one_cycle"}}
    fitted = run(make_training(settings=settings, scores=EARLY), tmp_path / "stopped")
    assert len(fitted.history) == epochs
    assert fitted.chosen_epoch == chosen
    assert fitted.stopped_early is (epochs < 8)
    # The schedule is that of all epochs: it is left, not squeezed.
    whole = run(make_training(settings=settings | {"early_stop": None}, scores=EARLY), tmp_path / "whole")
    assert timeless(fitted.history) == timeless(whole.history)[:epochs]
    if fitted.chosen_epoch == whole.chosen_epoch:
        assert same(fitted.chosen_state, whole.chosen_state)
    assert same(fitted.final_state, whole.final_state) is (epochs == 8)


@pytest.mark.parametrize("stopped_after", [1, 3, 4])
def test_early_stop_is_the_same_after_an_interruption(stopped_after: int, tmp_path: Path):
    settings = {"epochs": 8, "early_stop": 2}
    folders = (tmp_path / "one", tmp_path / "two")
    whole = run(make_training(settings=settings, scores=EARLY), folders[0])

    def stop(epoch: int, _metrics: dict[str, float]) -> None:
        if epoch == stopped_after:
            raise Stopped

    with pytest.raises(Stopped):
        run(make_training(settings=settings, scores=EARLY), folders[1], stop)
    again = run(make_training(Net(33, 0.5), settings=settings, scores=EARLY[stopped_after:]), folders[1])
    assert_same_outcome(whole, again, folders)
    assert whole.stopped_early and again.stopped_early and len(again.history) == 4


def test_early_stop_is_reported(tmp_path: Path):
    shown, stream = console()
    training = make_training(settings={"epochs": 8, "early_stop": 2}, scores=EARLY)
    fit(training, make_fabric("cpu", "fp32"), Checkpoint(tmp_path / "checkpoint.pt", "one"), shown)
    assert "toy: stopped after epoch 4 of 8, no better than epoch 2 for 2 epochs" in stream.getvalue()


def test_head_is_trained_alone_first(tmp_path: Path):
    net = Net(1, 0.5)
    first = {name: value.clone() for name, value in net.named_parameters()}
    seen: list[dict[str, Tensor]] = []

    def note(_epoch: int, _metrics: dict[str, float]) -> None:
        seen.append({name: value.detach().clone() for name, value in net.named_parameters()})

    run(make_training(net, settings={"optimizer": "adamw", "lr": 0.01, "head_epochs": 2}), tmp_path, note)
    for epoch, weights in enumerate(seen):
        body_moved = any(not torch.equal(weights[name], first[name]) for name in first if name.startswith("body"))
        assert body_moved == (epoch >= 2)
        assert not torch.equal(weights["head.weight"], first["head.weight"])
    saved = Checkpoint(tmp_path / "checkpoint.pt", "one").load()
    assert saved is not None
    # The moments of the body begin with its first step, as in a training of two epochs.
    steps = {float(each["step"]) for each in saved["optimizer"]["state"].values()}
    assert steps == {2.0 * STEPS, 4.0 * STEPS}
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_losses_that_miss_the_head_leave_everything_as_it_was(tmp_path: Path):
    net = Net(1, 0.0)

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        return {"feature": task.body(call.images).square().mean()}

    first = {name: value.clone() for name, value in net.named_parameters()}
    seen: list[bool] = []

    def note(_epoch: int, _metrics: dict[str, float]) -> None:
        seen.append(all(torch.equal(value, first[name]) for name, value in net.named_parameters()))

    run(make_training(net, losses=losses, settings={"epochs": 2, "head_epochs": 1}), tmp_path, note)
    assert seen == [True, False]


def test_averaged_weights_are_validated_and_returned(tmp_path: Path):
    validated: list[Tensor] = []

    class Watched(Net):
        def classifier(self) -> Any:
            validated.append(self.head.weight.detach().clone())
            return super().classifier()

    expected: list[Tensor] = []
    net = Watched(1, 0.0)
    average = net.head.weight.detach().clone()
    count = 0

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        nonlocal average, count
        if count:  # the weights after the step before
            kept = min(0.8, (1 + count) / (10 + count))
            average = average.lerp(task.head.weight.detach(), 1 - kept)
        if count and count % STEPS == 0:
            expected.append(average.clone())
        count += 1
        return {"ce": nn.functional.cross_entropy(task.logits(call.images), call.labels)}

    fitted = run(make_training(net, losses=losses, settings={"ema": 0.8}, scores=[0.3, 0.9, 0.5, 0.4]), tmp_path)
    assert len(validated) == 4
    for found, right in zip(validated, expected, strict=False):
        torch.testing.assert_close(found, right)
    assert torch.equal(fitted.chosen_state["head.weight"], validated[1])
    assert torch.equal(fitted.final_state["head.weight"], validated[3])
    assert not torch.equal(fitted.final_state["head.weight"], net.head.weight)


def test_switched_off_they_change_nothing(tmp_path: Path):
    """Against a loop of a few lines that knows nothing of heads, layers and averages."""
    net, plain_settings = Net(1, 0.0), {"schedule": {"kind": "constant"}, "batch_norm_momentum": "network"}
    fitted = run(make_training(net, settings=plain_settings | {"momentum": 0.9}), tmp_path)
    plain = Net(1, 0.0).to(memory_format=torch.channels_last)  # another layout rounds differently on some processors
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)
    plain.train()
    for epoch in range(4):
        for batch in batches_of(epoch):
            images = (batch.images.float() / 255).contiguous(memory_format=torch.channels_last)
            loss = nn.functional.cross_entropy(plain.logits(images), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert same(fitted.final_state, dict(plain.state_dict()))
    neutral = {"head_epochs": 0, "head_lr": 1.0, "layer_decay": 1.0, "ema": None, "preset": "none"}
    again = run(make_training(Net(1, 0.0), settings=plain_settings | neutral), tmp_path / "neutral")
    assert same(fitted.final_state, again.final_state)
