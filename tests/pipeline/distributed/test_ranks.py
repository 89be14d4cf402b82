import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distributed.ranks import Rank, first_host, is_one_of_several, slurm_variables, this_rank

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
SLURM = {
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "7001234",
}


def test_process_without_variables_is_alone():
    assert this_rank({}) == Rank(0, 1, 0, 1)
    assert this_rank({}).leads


def test_torchrun_says_which_process_this_is():
    rank = this_rank(TORCHRUN)
    assert rank == Rank(number=5, count=8, local=1, local_count=4)
    assert not rank.leads
    assert rank.describe() == "process 6 of 8"


def test_two_variables_are_enough_on_one_machine():
    assert this_rank({"RANK": "1", "WORLD_SIZE": "2"}) == Rank(1, 2, 1, 2)


def test_slurm_step_says_the_same_as_torchrun():
    assert this_rank(SLURM) == this_rank(TORCHRUN)
    found = slurm_variables(SLURM)
    assert found["MASTER_ADDR"] == "gpu03"
    assert found["MASTER_PORT"] == str(20_000 + 7001234 % 20_000)
    assert slurm_variables(SLURM | {"MASTER_ADDR": "mine", "MASTER_PORT": "29500"})["MASTER_ADDR"] == "mine"


def test_batch_script_and_single_task_are_one_process():
    assert this_rank({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) == Rank()
    assert slurm_variables(SLURM | {"SLURM_STEP_NUM_TASKS": "1"}) == {}


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[03-05,9],big1", "gpu03"),
        ("big1,gpu[03-05]", "big1"),
        ("a-node", "a-node"),
        ("rack[7,9-12]-ib", "rack7-ib"),
    ],
)
def test_first_machine_of_a_slurm_list(nodes: str, first: str):
    assert first_host(nodes) == first


@given(st.integers(1, 1024).flatmap(lambda count: st.tuples(st.integers(0, count - 1), st.just(count))))
def test_any_rank_below_the_count_is_accepted(pair: tuple[int, int]):
    rank = this_rank({"RANK": str(pair[0]), "WORLD_SIZE": str(pair[1])})
    assert (rank.number, rank.count) == pair
    assert rank.leads == (pair[0] == 0)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"RANK": "8"}, "RANK"),
        ({"RANK": "first"}, "RANK"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE"),
        ({"LOCAL_RANK": "4"}, "LOCAL_RANK"),
        ({"LOCAL_WORLD_SIZE": "-1"}, "LOCAL_WORLD_SIZE"),
    ],
)
def test_a_variable_that_cannot_be_is_named(change: dict[str, str], name: str):
    with pytest.raises(UsageError, match=f"environment variable {name}: expected a number"):
        this_rank(TORCHRUN | change)


def test_a_missing_variable_is_named():
    with pytest.raises(UsageError, match=r"environment variable RANK: expected .* got nothing"):
        this_rank({"WORLD_SIZE": "2"})
    with pytest.raises(UsageError, match="SLURM_STEP_NODELIST"):
        slurm_variables({key: value for key, value in SLURM.items() if key != "SLURM_STEP_NODELIST"})


def test_one_of_several_follows_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not is_one_of_several()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_one_of_several()
