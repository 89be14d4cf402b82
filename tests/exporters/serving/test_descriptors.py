import resource
from collections.abc import Iterator

import pytest

from exporters.core.errors import UsageError
from exporters.serving.descriptors import room_for


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """The limits that were set, from (256, 1024) on; those of this process stay."""
    found = [(256, 1024)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: found[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, new: found.append(new))
    yield found


def test_the_limit_is_raised_for_the_block(limits: list[tuple[int, int]]) -> None:
    with room_for(512):
        assert limits[-1][0] >= 512 + 64 and limits[-1][1] == 1024
    assert limits[-1] == (256, 1024)


def test_a_limit_that_suffices_stays(limits: list[tuple[int, int]]) -> None:
    with room_for(10):
        assert limits[-1] == (256, 1024)


def test_more_than_the_system_allows_is_refused(limits: list[tuple[int, int]]) -> None:
    with pytest.raises(UsageError, match=r"1,000 connections need 1,128 open files.* 1,024") as caught, room_for(1000):
        pass
    assert "--max-connections" in str(caught.value)
