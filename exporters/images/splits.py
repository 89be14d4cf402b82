"""The names that people give to the splits of a data set."""

import re
from collections.abc import Iterable
from typing import Literal, TypeVar, get_args

from exporters.core.errors import UnavailableError
from exporters.core.names import normalized

SplitName = Literal["train", "validation", "test"]
Value = TypeVar("Value")
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

_WORDS: dict[SplitName, str] = {
    "train": "train|training|trn",
    "validation": "val|valid|validation|validate|validating|dev|devel|development|eval|evaluation",
    "test": "test|testing|tst|holdout|hold_out|heldout|held_out",
}
_NOUNS = "set|data|dataset|data_set|split|images?|imgs?|photos?|pictures?|pics?|files?|samples?|folder|dir|part"
_WORD = "|".join(f"(?P<{split}>{words})" for split, words in _WORDS.items())
_SPLIT = re.compile(
    rf"(?:(?P<before>.*[^_])_)??(?:\d+_)?(?:{_WORD})(?:_?(?:{_NOUNS}))?(?:_?(?:19|20)\d\d)?(?:_(?P<after>[^_].*))?"
)


def split_of(name: str) -> tuple[SplitName, str] | None:
    """Which split a folder, a shard or a row is called as; None: no split.

    Case, blanks, hyphens and dots make no difference, nor do a number before it and a noun or a year after it:
    `Training Set`, `01-train`, `val_images` and `test2017` are splits.

    Returns:
        The split, and what else the name holds: empty for those above, `flowers` for `flowers_train`. A name with
        something else is that of a split only where another split has the same.
    """
    text = re.sub(r"[\s\-._]+", "_", normalized(name).casefold()).strip("_")
    match = _SPLIT.fullmatch(text) if len(text) < 256 else None
    if match is None:
        return None
    split = next(split for split in SPLITS if match[split])
    return split, "_".join(part for part in (match["before"], match["after"]) if part)


def find_splits(names: Iterable[str], source: object, mark: str = "/") -> dict[SplitName, str]:
    """The names that are those of splits, by split; empty where none are.

    Plain names (`train`, `Testing`) go before those with something else in them (`flowers_train`, `flowers_test`),
    which are splits only where one of training and one of another kind have the same in common.

    Args:
        names: of folders, for example.
        source: where they were found, for messages.
        mark: what messages put after a name; a slash after those of folders.

    Raises:
        UnavailableError: two names for one split, or a split for each of several things; names two.
    """
    families: dict[str, dict[SplitName, list[str]]] = {}
    for name in sorted(names):
        if (found := split_of(name)) is not None:
            families.setdefault(found[1], {}).setdefault(found[0], []).append(name)
    plain = families.pop("", {})
    whole = [family for family in families.values() if "train" in family and len(family) > 1]
    chosen = plain if "train" in plain or not whole else whole[0]
    if "train" not in plain and len(whole) > 1:
        (one, *_), (two, *_) = (family["train"] for family in whole[:2])
        raise UnavailableError(
            f"{source}: has {one}{mark} and {two}{mark}, and each could be the train split",
            remedy="one folder for each split, with a folder for each class in it: train/<class>/* and test/<class>/*",
        )
    for split, found_names in chosen.items():
        if len(found_names) > 1:
            both = " and ".join(f"{name}{mark}" for name in found_names[:2])
            raise UnavailableError(
                f"{source}: has both {both}, and each could be the {split} split",
                remedy="keep one of them: rename the other, or take it away",
            )
    return {split: chosen[split][0] for split in SPLITS if split in chosen}


def with_test(found: dict[SplitName, Value]) -> dict[SplitName, Value]:
    """The validation split is the test split where there is no other."""
    if "test" in found or "validation" not in found:
        return found
    return {"test" if name == "validation" else name: value for name, value in found.items()}
