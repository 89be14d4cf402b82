"""What a recipe names, and where it is."""

from pathlib import Path
from typing import Any

import pytest

from exporters.core.files import sha256_file
from exporters.student.architectures.weights_cache import WeightsCache
from pipeline.doctor import needs
from pipeline.doctor.finding import Finding
from pipeline.doctor.needs import examine_caches, examine_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.names import STAGE_NAMES


def by_name(network: bool = False, **sections: Any) -> dict[str, Finding]:
    recipe = Recipe.model_validate({"distill": {"method": "kd"}, **sections})
    return {each.about: each for each in examine_recipe(recipe, frozenset(STAGE_NAMES), network=network)}


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of files in torch's cache; the hub's is empty."""
    files: set[str] = set()
    monkeypatch.setattr(WeightsCache, "look", classmethod(lambda cls: cls(files, frozenset())))
    return files


def test_data_that_are_missing_are_a_fault(tmp_path: Path) -> None:
    missing = by_name(data={"dataset": "folder", "root": str(tmp_path / "photos")})["data.root"]
    assert missing.state == "fault" and "does not exist" in missing.found and missing.remedy
    (tmp_path / "photos").mkdir()
    assert by_name(data={"dataset": "folder", "root": str(tmp_path / "photos")})["data.root"].state == "ok"


def test_weights_that_are_another_file_are_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_text("weights")
    for sha256, state in ((sha256_file(path), "ok"), ("0" * 64, "fault")):
        found = by_name(student={"weights": str(path), "sha256": sha256})
        assert found["student.weights"].state == state


def test_published_weights_are_looked_up_in_the_cache_then_on_their_server(
    caches: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {
        "student": {"model": "torchvision:resnet18", "weights": "imagenet"},
        "teacher": {"visual": {"model": "cifar:resnet8", "weights": "none", "fit": {}}},
    }
    asked: list[str | None] = []

    def answers(source: str | None) -> bool:
        asked.append(source)
        return len(asked) == 1

    monkeypatch.setattr(needs, "can_be_fetched", answers)
    assert by_name(**sections)["student.weights"].state == "note" and not asked
    assert by_name(network=True, **sections)["student.weights"].state == "ok" and len(asked) == 1
    assert by_name(network=True, **sections)["student.weights"].state == "fault"
    caches.add(str(asked[0]).rpartition("/")[2])
    assert by_name(**sections)["student.weights"].state == "ok"


def test_teachers_that_a_method_does_not_use_are_not_looked_for() -> None:
    student = {"model": "cifar:resnet8"}
    assert by_name(distill={"method": "ce"}, student=student) == {}
    assert set(by_name(student=student)) == {"teacher.visual.weights"}
    assert set(by_name(distill={}, student=student)) == {"teacher.visual.weights", "teacher.text.weights"}


def test_caches_are_counted(caches: set[str]) -> None:
    assert [each.state for each in examine_caches()] == ["note"]
    caches |= {"resnet18-f37072fd.pth"}
    (finding,) = examine_caches()
    assert finding.state == "ok" and finding.found.startswith("1 of torch")
