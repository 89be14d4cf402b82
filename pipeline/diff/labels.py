"""Labels of two bundles, matched by name."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exporters.core.errors import UsageError
from exporters.core.wording import first_of
from exporters.images.labelled import plain_name

_NUMBER = re.compile(r"^\d+\.")
_NAMED = 5
"""Labels that a message names."""


@dataclass(frozen=True)
class LabelMatch:
    """Classes of two bundles, each once.

    Attributes:
        classes: names; those of the new bundle where both have the class. In the old bundle's order, added ones last.
        of_old, of_new: `[K]` int64, the class of each label of the old and of the new bundle.
        renamed: pairs of an old and a new name of one class, where the two differ.
        removed, added: classes of the old, of the new bundle alone.
    """

    classes: tuple[str, ...]
    of_old: np.ndarray
    of_new: np.ndarray
    renamed: tuple[tuple[str, str], ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def common(self) -> np.ndarray:
        """Whether both bundles have a class, bool `[classes]`."""
        every = np.arange(len(self.classes))
        both: np.ndarray = np.isin(every, self.of_old) & np.isin(every, self.of_new)
        return both

    def folders(self) -> tuple[list[str], list[int]]:
        """Names that a folder of images may have, and the class of each: the classes', and other names of old labels.

        A spelling that is read like another one is left out.
        """
        places = {name: place for place, name in enumerate(self.classes)}
        read = {plain_name(name) for name in self.classes}
        for old, new in self.renamed:
            if old not in places and plain_name(old) not in read:
                read.add(plain_name(old))
                places[old] = places[new]
        return list(places), list(places.values())


def match_labels(old: Sequence[str], new: Sequence[str], renames: Mapping[str, str] | None = None) -> LabelMatch:
    """Match labels by name: first as they are, then as a person reads them.

    Two labels that differ only in case, in underscores and blanks, in their Unicode form or in a number before the name
    (`017.Blue_Bar`, `blue bar`) are one class, unless several labels of a bundle are read alike.

    Args:
        old, new: labels of the bundles, each once.
        renames: old label → new label, for names that have nothing in common.

    Raises:
        UsageError: a rename of labels that do not exist or are given twice, or no common label.
    """
    partner = _checked(old, new, renames or {})
    free = set(new) - set(partner.values())
    for name in old:
        if name not in partner and name in free:
            partner[name] = name
    taken = set(partner.values())
    left = _alone([name for name in new if name not in taken])
    for key, name in _alone([name for name in old if name not in partner]).items():
        if key in left:
            partner[name] = left[key]
    if not partner:
        raise UsageError(
            f"the bundles have no label in common: {first_of(old, _NAMED)}; {first_of(new, _NAMED)}",
            remedy="--rename OLD=NEW, repeated, says which labels are the same.",
        )
    added = tuple(name for name in new if name not in set(partner.values()))
    place_of_new = {partner[name]: place for place, name in enumerate(old) if name in partner}
    place_of_new |= {name: len(old) + place for place, name in enumerate(added)}
    # A removed label is called as a new one where a rename says that they are not the same.
    shown = [partner.get(name, f"{name} (old bundle)" if name in new else name) for name in old]
    return LabelMatch(
        classes=(*shown, *added),
        of_old=np.arange(len(old)),
        of_new=np.array([place_of_new[name] for name in new]),
        renamed=tuple((name, partner[name]) for name in old if name in partner and partner[name] != name),
        removed=tuple(shown[place] for place, name in enumerate(old) if name not in partner),
        added=added,
    )


def _checked(old: Sequence[str], new: Sequence[str], renames: Mapping[str, str]) -> dict[str, str]:
    for name, names, which in (
        *((name, old, "old") for name in renames),
        *((name, new, "new") for name in renames.values()),
    ):
        if name not in names:
            raise UsageError(
                f"--rename: {name!r} is no label of the {which} bundle", remedy=f"It has {first_of(names, _NAMED)}."
            )
    twice = [name for name, count in Counter(renames.values()).items() if count > 1]
    if twice:
        raise UsageError(f"--rename: {twice[0]!r} was given for two labels", remedy="Name each label once.")
    return dict(renames)


def _alone(names: Sequence[str]) -> dict[str, str]:
    """What a label is read as → the label; without those that are read alike."""
    keys = [plain_name(_NUMBER.sub("", name)).casefold() for name in names]
    count = Counter(keys)
    return {key: name for key, name in zip(keys, names, strict=True) if count[key] == 1}
