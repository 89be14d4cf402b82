from collections import Counter
from itertools import combinations

import pytest

from pipeline.data.birds_demo.species import CLASS_NAMES, SPECIES, Species

# What each word of a name promises, written down apart from the table of species.
PROMISES: dict[str, dict[str, str]] = {
    "finch": {"bill": "cone", "legs": "short"},
    "shrike": {"bill": "hook", "legs": "short"},
    "sunbird": {"bill": "needle", "legs": "short"},
    "spoonbill": {"bill": "spoon", "legs": "long"},
    "stilt": {"bill": "needle", "legs": "long"},
    "hook-billed": {"bill": "hook"},
    "red-crested": {"crest": "pointed"},
    "fan-crested": {"crest": "fan"},
    "fork-tailed": {"tail": "fork"},
    "wedge-tailed": {"tail": "wedge"},
    "long-tailed": {"tail": "long"},
    "plain": {"wing": "plain"},
    "striped": {"wing": "striped"},
    "spotted": {"wing": "spotted"},
    "barred": {"wing": "barred"},
}
UNSAID = {"crest": "none", "tail": "short"}


@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.folder)
def test_name_describes_every_part_correctly(species: Species) -> None:
    described = dict(UNSAID)
    for word in species.name.split():
        described |= PROMISES[word]
    assert described == {part: getattr(species, part) for part in ("bill", "crest", "tail", "wing", "legs")}


def test_names_and_folders_are_unique_and_plain() -> None:
    assert len(SPECIES) >= 12
    assert len(set(CLASS_NAMES)) == len({species.folder for species in SPECIES}) == len(SPECIES)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz -") for name in CLASS_NAMES)


def test_no_single_attribute_decides() -> None:
    for attribute in ("bill", "crest", "tail", "wing", "legs", "plumage"):
        assert min(Counter(getattr(species, attribute) for species in SPECIES).values()) >= 2


def test_every_species_has_a_close_neighbour() -> None:
    pairs = {pair: pair[0].differences(pair[1]) for pair in combinations(SPECIES, 2)}
    assert all(set(parts) - {"plumage"} for parts in pairs.values()), "two species differ in colour at most"
    for species in SPECIES:
        nearest = min(len(parts) for pair, parts in pairs.items() if species in pair)
        assert nearest <= 2, species.name
    single = {parts[0] for parts in pairs.values() if len(parts) == 1}
    assert single >= {"bill", "crest", "wing"}
