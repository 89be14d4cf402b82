"""What is said before a run that repeats another one."""

import platform
from types import SimpleNamespace
from typing import Any, cast

import pytest

from exporters.core.errors import UnavailableError
from exporters.core.versions import installed_packages
from pipeline.preflight.base import Report, Subject
from pipeline.preflight.lock import check_data, check_device, check_environment
from pipeline.recipe.schema.recipe import Recipe


def subject(lock: dict[str, Any] | None, fingerprint: str = "a" * 64) -> Subject:
    recipe = Recipe.model_validate({"device": "cpu", "lock": lock})
    return cast(Subject, SimpleNamespace(recipe=recipe, index=SimpleNamespace(fingerprint=fingerprint)))


def warnings(lock: dict[str, Any] | None) -> list[str]:
    report = Report()
    check_environment(subject(lock), report)
    check_device(subject(lock), report)
    return report.warnings


def test_same_versions_are_not_mentioned() -> None:
    lock = {"python": platform.python_version(), "packages": installed_packages(), "device": "cpu"}
    assert warnings(lock) == warnings({}) == warnings(None) == []


def test_each_difference_is_named_in_one_warning() -> None:
    (told,) = warnings({"python": "3.1.4", "processor": "an 8086", "packages": {"torch": "0.4", "gone": "1.0"}})
    for part in (
        "the processor was an 8086, is ",
        f"Python was 3.1.4, is {platform.python_version()}",
        f"torch was 0.4, is {installed_packages()['torch']}",
        "gone was 1.0, is not installed",
    ):
        assert part in told


def test_another_device_is_named() -> None:
    (told,) = warnings({"device": "NVIDIA H200"})
    assert "NVIDIA H200" in told and "this one on cpu" in told


def test_other_images_are_refused() -> None:
    for lock in (None, {}, {"data": "a" * 64}, {"data": "A" * 64}):
        check_data(subject(lock), Report())
    with pytest.raises(UnavailableError, match=r"fingerprint aaaaaaaaaaaa…, expected bbbbbbbbbbbb…") as refused:
        check_data(subject({"data": "b" * 64}), Report())
    assert "--set lock=null" in (refused.value.remedy or "")
