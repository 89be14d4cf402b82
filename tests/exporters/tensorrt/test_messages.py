from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.tensorrt.messages import Messages, plain, without_folders

_PART = st.text("abcXYZ019_-.", min_size=1).filter(lambda text: text.strip("."))


@settings(deadline=None, max_examples=50)
@given(parts=st.lists(_PART, min_size=2, max_size=5), where=st.sampled_from(["{}", "at {}:12", "open '{}' (2)"]))
def test_folders_are_removed_from_messages(parts: list[str], where: str) -> None:
    message = without_folders(where.format("/" + "/".join(parts)))
    assert message == where.format(parts[-1])


def test_words_with_slashes_are_left_alone() -> None:
    assert without_folders("took 3 ms and/or 1/2 of tcp/ip") == "took 3 ms and/or 1/2 of tcp/ip"


def test_errors_are_reported_once_without_source_locations() -> None:
    lines = [
        "A::b: Error Code 4: API Usage Error (min > max. In isValid at /_src/optimizer/profile.cpp:367)",
        "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In f at /_src/x.cpp:25 (cudaError 35))",
        "A::b: Error Code 4: API Usage Error (min > max. In isValid at /_src/optimizer/profile.cpp:367)",
    ]
    assert plain(lines) == "A::b: Error Code 4: API Usage Error (min > max.)"
    assert "cudaError 35" in plain(lines[1:2])


def test_log_is_bounded_and_omits_noise() -> None:
    messages = Messages()
    messages.add("VERBOSE", "a thousand of these")
    messages.add("INFO", "--------")
    messages.add("INFO", "Domain:           ")
    messages.add("WARNING", "x" * 1000)
    for number in range(300):
        messages.add("INFO", f"line {number}")
    log = messages.log
    assert log[0] == "WARNING: " + "x" * 291
    assert log[1] == "INFO: line 0"
    assert len(log) == 201 and log[-1] == "(101 more lines)"
    assert messages.errors == "it gave no reason"
