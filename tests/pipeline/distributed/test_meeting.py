import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from exporters.core.errors import UnavailableError, UsageError
from pipeline.distributed import meeting
from pipeline.distributed.meeting import meet
from pipeline.distributed.ranks import Rank

SECOND = timedelta(seconds=1)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that something else listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(taken.getsockname()[1]))
        monkeypatch.setattr(meeting, "ARRIVAL", SECOND)
        monkeypatch.setattr(meeting, "_NAME_PAUSE", 0.0)
        yield taken.getsockname()[1]


@pytest.mark.usefixtures("port")
@pytest.mark.parametrize("name", ["MASTER_ADDR", "MASTER_PORT"])
def test_missing_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(UnavailableError, match=f"{name}: missing"):
        meet(Rank(0, 2, 0, 2), SECOND)


@pytest.mark.usefixtures("port")
@pytest.mark.parametrize("value", ["abc", "0", "65536", ""])
def test_port_must_be_a_number_that_ports_have(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_PORT", value)
    with pytest.raises(UsageError, match="environment variable MASTER_PORT: expected a number from 1 to 65535"):
        meet(Rank(1, 2, 1, 2), SECOND)


@pytest.mark.usefixtures("port")
@pytest.mark.parametrize("host", ["nohost.invalid", "a..b", ""])
def test_unknown_machine_is_an_error_at_once(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be waited for as long as for one that is still starting."""
    monkeypatch.setenv("MASTER_ADDR", host)
    with pytest.raises(UnavailableError, match="MASTER_ADDR: no machine is found by the name"):
        meet(Rank(1, 2, 1, 2), SECOND)


def test_port_that_is_taken_is_named(port: int) -> None:
    with pytest.raises(UnavailableError, match=f"MASTER_PORT: {port} is in use") as caught:
        meet(Rank(0, 2, 0, 2), SECOND)
    assert caught.value.remedy is not None and "another" in caught.value.remedy


def test_processes_that_do_not_come_are_waited_for_and_told_of(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        other = free.getsockname()[1]
    monkeypatch.setenv("MASTER_PORT", str(other))
    monkeypatch.setattr(meeting, "NOTICE", 0.05)
    with pytest.raises(UnavailableError, match=rf"the 2 processes do not meet at 127.0.0.1:{other}") as caught:
        meet(Rank(0, 2, 0, 2), SECOND)
    assert caught.value.remedy is not None and "all 2 of them have started" in caught.value.remedy
    assert capsys.readouterr().err == f"process 1 of 2 waits for the others at 127.0.0.1:{other}\n"


def test_processes_that_come_share_a_store(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    monkeypatch.setattr(meeting, "ARRIVAL", timedelta(minutes=1))
    stores = {}
    threads = [
        threading.Thread(target=lambda number=number: stores.update({number: meet(Rank(number, 2, number, 2), SECOND)}))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stores[0].set("word", "there")
    assert stores[1].get("word") == b"there" and {each.timeout for each in stores.values()} == {SECOND}
