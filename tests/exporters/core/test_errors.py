import pytest

from exporters.core.errors import GateError, TmkdError, UnavailableError, UsageError, message_of


@pytest.mark.parametrize(("kind", "code"), [(TmkdError, 1), (UsageError, 2), (GateError, 3), (UnavailableError, 4)])
def test_each_error_has_the_exit_code_of_its_kind(kind: type[TmkdError], code: int) -> None:
    assert kind("x").exit_code == code


def test_remedy_stands_on_a_line_of_its_own() -> None:
    assert str(UsageError("a.yaml: no such key", remedy="Remove it.")) == "a.yaml: no such key\n  Remove it."
    assert str(UsageError("a.yaml: no such key")) == "a.yaml: no such key"


def test_message_is_without_the_remedy() -> None:
    assert message_of(UsageError("a.yaml: no such key", remedy="Remove it.")) == "a.yaml: no such key"
    assert message_of(OSError(2, "No such file", "a.yaml")) == "[Errno 2] No such file: 'a.yaml'"
