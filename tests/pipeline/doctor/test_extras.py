import pytest

from pipeline.doctor import extras
from pipeline.doctor.extras import EXTRAS, examine_extras


def test_each_extra_is_installed_partly_there_or_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"fastapi"}
    monkeypatch.setattr(extras, "find_spec", lambda name: object() if name in there else None)
    found = {each.about: each for each in examine_extras()}
    extras_named = ("cpu or gpu", "serve", "search", "signing", "track", "openvino", "hf")
    assert set(found) == {f"extra {name}" for name in extras_named}
    assert found["extra signing"].found == "not installed" and found["extra serve"].found.startswith(
        "without httptools"
    )
    assert all(each.state == "note" and "pip install" in each.remedy for each in found.values())
    there |= {module for modules, _ in EXTRAS.values() for module in modules}
    assert {each.state for each in examine_extras()} == {"ok"}


def test_the_modules_of_the_server_are_those_that_it_brings() -> None:
    """The tests run with them; a module that is no longer needed would be told as missing."""
    found = {each.about: each for each in examine_extras()}
    assert found["extra serve"].state == "ok"
