"""The classes of `birds_demo` as data: every bird is a choice of parts, and its name says which.

The set is fine-grained by construction: the birds are of four plumage colours only, four species each, and every
species has a near relative that differs from it in one or two parts. Neither colour nor any single part decides.
"""

from dataclasses import dataclass, fields
from typing import Literal

Bill = Literal["cone", "hook", "needle", "spoon"]
Crest = Literal["none", "pointed", "fan"]
Tail = Literal["short", "fork", "wedge", "long"]
Wing = Literal["plain", "striped", "spotted", "barred"]
Legs = Literal["short", "long"]
Plumage = Literal["ochre", "slate", "rust", "olive"]


@dataclass(frozen=True)
class Species:
    """One class: its English name and the parts that are drawn."""

    name: str
    bill: Bill
    crest: Crest
    tail: Tail
    wing: Wing
    legs: Legs
    plumage: Plumage

    @property
    def folder(self) -> str:
        """The name as a folder: spaces become underscores."""
        return self.name.replace(" ", "_")

    def differences(self, other: "Species") -> tuple[str, ...]:
        """The names of the attributes in which two species differ, the name itself left out."""
        names = (field.name for field in fields(self) if field.name != "name")
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))


SPECIES: tuple[Species, ...] = (
    Species("red-crested striped finch", "cone", "pointed", "short", "striped", "short", "ochre"),
    Species("red-crested spotted finch", "cone", "pointed", "short", "spotted", "short", "ochre"),
    Species("fork-tailed striped finch", "cone", "none", "fork", "striped", "short", "slate"),
    Species("fork-tailed barred finch", "cone", "none", "fork", "barred", "short", "slate"),
    Species("red-crested striped shrike", "hook", "pointed", "short", "striped", "short", "ochre"),
    Species("hook-billed spotted shrike", "hook", "none", "short", "spotted", "short", "rust"),
    Species("fan-crested spotted shrike", "hook", "fan", "short", "spotted", "short", "rust"),
    Species("wedge-tailed barred shrike", "hook", "none", "wedge", "barred", "short", "slate"),
    Species("long-tailed plain sunbird", "needle", "none", "long", "plain", "short", "olive"),
    Species("long-tailed barred sunbird", "needle", "none", "long", "barred", "short", "olive"),
    Species("red-crested plain sunbird", "needle", "pointed", "short", "plain", "short", "ochre"),
    Species("fork-tailed barred sunbird", "needle", "none", "fork", "barred", "short", "slate"),
    Species("red-crested plain spoonbill", "spoon", "pointed", "short", "plain", "long", "olive"),
    Species("fan-crested plain spoonbill", "spoon", "fan", "short", "plain", "long", "olive"),
    Species("wedge-tailed spotted spoonbill", "spoon", "none", "wedge", "spotted", "long", "rust"),
    Species("wedge-tailed spotted stilt", "needle", "none", "wedge", "spotted", "long", "rust"),
)

CLASS_NAMES: tuple[str, ...] = tuple(species.name for species in SPECIES)
