from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.distributed.collectives import average_statistics, averaged, from_leader, gathered, interleaved, of_all
from tests.pipeline.distributed.processes import in_two_processes
from tests.pipeline.distributed.shared_work import (
    BROKEN,
    METHODS,
    everything,
    train_broken_net,
    train_method,
    train_net,
    train_net_with_batch_norm,
)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_two_processes(everything, tmp_path_factory.mktemp("two"))


def assert_close(one: dict[str, Tensor], two: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(two[name], value, rtol=tolerance, atol=tolerance, equal_nan=True), name


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_have_the_losses_and_gradients_of_the_whole_batch(name: str, together: list[dict[str, Any]]):
    alone = train_method(METHODS[name])
    assert any("gradient" in key for key in alone)
    for process in together:
        assert_close(alone, process["methods"][name])


def test_classes_of_mixed_images_are_weighted_over_the_whole_batch(together: list[dict[str, Any]]):
    assert_close(train_method({"method": "kd"}, mixed=True), together[1]["mixed"])


def test_two_processes_train_the_net_that_one_trains(together: list[dict[str, Any]]):
    alone = train_net()
    for process in together:
        assert_close(alone["final"], process["net"]["final"])
        assert process["net"]["chosen"] == alone["chosen"] == 2
        rows = zip(alone["history"], process["net"]["history"], strict=True)
        assert all(theirs == pytest.approx(ours, rel=1e-4) for ours, theirs in rows)


def test_clipping_averaging_and_a_head_trained_alone_are_as_in_one_process(together: list[dict[str, Any]]):
    alone = train_net(optimizer="adamw", lr=0.01, gradient_clip=0.1, head_epochs=2, ema=0.9)
    assert_close(alone["final"], together[0]["careful net"]["final"])


def test_gradients_of_several_batches_are_exchanged_once(together: list[dict[str, Any]]):
    assert_close(train_net(accumulate=2)["final"], together[1]["accumulating net"]["final"])


@pytest.mark.parametrize(
    ("name", "settings"), [("broken net", {}), ("broken accumulating net", {"accumulate": 2, "ema": 0.9})]
)
def test_batch_that_is_broken_in_one_process_is_left_out_in_both(
    name: str, settings: dict[str, Any], together: list[dict[str, Any]]
):
    alone = train_broken_net(**settings)
    for process in together:
        assert_close(alone["final"], process[name]["final"])
        for (_, step), (found,) in zip(BROKEN, process[name]["skipped"], strict=True):
            assert found["step"] == step + 1 and found["what"] == "ce" and found["told"].startswith("ce nan; images ")
        assert process[name]["skipped"] == together[0][name]["skipped"]


def test_synchronised_batch_norms_see_the_whole_batch(together: list[dict[str, Any]]):
    alone = train_net_with_batch_norm(ema=0.9)["final"]
    for process in together:
        assert_close(alone, process["synchronised net"]["final"])


def test_two_processes_give_the_same_bits_each_time(together: list[dict[str, Any]]):
    for process in together:
        ours, theirs = process["net"]["final"], process["again"]["final"]
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_both_processes_end_with_the_same_weights_and_statistics(together: list[dict[str, Any]]):
    one, two = (process["noisy net"]["final"] for process in together)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_only_process_0_writes_a_checkpoint(together: list[dict[str, Any]]):
    assert [process["net"]["written"] for process in together] == [["checkpoint.1.pt", "checkpoint.pt"], []]


def test_training_resumed_within_an_epoch_ends_with_the_same_bits(together: list[dict[str, Any]]):
    for process in together:
        assert process["resumed net"]["resumed at"] == (2, 2)
        ours, theirs = process["noisy net"]["final"], process["resumed net"]["final"]
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_what_is_exchanged_comes_in_the_order_of_the_processes(together: list[dict[str, Any]]):
    for process in together:
        assert process["gathered"].tolist() == [0, 1, 2, 3, 4, 5]
        assert process["interleaved"] == ["a", "b", "c", "d", "e"]
        assert process["interleaved rows"].tolist() == list(range(9))
        assert process["of all"] == [0, 1]
        assert process["in turn"] == [0, 1]
        assert process["from the leader"] == "said by 0"


def test_a_process_works_alone_outside_of_shared_work(together: list[dict[str, Any]]):
    for process in together:
        assert process["count alone"] == 1
        assert process["gathered alone"].tolist() == [0, 1]


def test_one_process_keeps_what_it_has():
    values = torch.randn(3, 2, requires_grad=True)
    assert gathered(values) is values
    assert averaged(values) is values
    assert interleaved((1, 2)) == [1, 2]
    assert of_all("x") == ["x"]
    assert from_leader("x") == "x"
    norm = nn.BatchNorm1d(2)
    before = norm.running_var
    average_statistics(norm)
    assert norm.running_var is before
