"""Why a stage must run again, in words: what changed since its record was written, the most informative first."""

from collections.abc import Mapping, Sequence

from exporters.core.wording import first_of

SHOWN = 3
_LONGEST = 120
_WORDS = {"code": "its code changed", "libraries": "a library changed", "python": "Python changed"}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed between the parts of two fingerprints.

    A setting with another value comes first, those of few dots before those of many (`distill.method` decides about
    most that is below `distill`); then other files, other code, and settings that are new or of no effect any more.

    Args:
        before: the parts as recorded: `code`, `libraries`, `python`, `file …`, `stage …`, and settings by dotted key
            as JSON; empty where there is no record, which differs in nothing.
        now: the parts as they are.
    """
    changed = [key for key in before.keys() | now.keys() if before and before.get(key) != now.get(key)]
    return [
        _words(key, before.get(key), now.get(key)) for key in sorted(changed, key=lambda key: _rank(key, before, now))
    ]


def brief(reasons: Sequence[str]) -> str:
    """The first reasons in one line, and how many more there are."""
    shown = first_of([_shortened(reason) for reason in reasons], SHOWN, clauses=True)
    return f"{shown} (`plan --verbose`)" if len(reasons) > SHOWN else shown


def _words(key: str, before: str | None, now: str | None) -> str:
    if key in _WORDS:
        return _WORDS[key]
    if key.startswith("file ") and key.endswith(" files"):
        return "the image files changed (names, sizes or times)"
    if key.startswith(("file ", "stage ")):
        return f"{key.partition(' ')[2]} changed"
    return f"{key} was {before or 'not there'}, is {now or 'not there'}"


def _rank(key: str, before: Mapping[str, str], now: Mapping[str, str]) -> tuple[int, int, str]:
    if key in _WORDS:
        return 2, 0, key
    if key.startswith(("file ", "stage ")):
        return 1, 0, key
    return (0 if key in before and key in now else 3), key.count("."), key


def _shortened(reason: str) -> str:
    """A reason of bounded length: long values, such as lists of class names, lose their end, between words."""
    if len(reason) <= _LONGEST:
        return reason
    begin = reason[: _LONGEST - 1]
    return f"{begin.rpartition(' ')[0] or begin} …"
