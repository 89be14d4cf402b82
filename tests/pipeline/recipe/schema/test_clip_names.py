"""The list of open_clip's models and tags that ships."""

import importlib.metadata
import re
from pathlib import Path

import pytest

from exporters.core.files import read_json
from pipeline.recipe.schema.clip_names import LIBRARY, LIST, installed_clip_names, shipped_clip_names

LOCK = Path(__file__).parents[4] / "requirements.lock"


def test_the_list_has_the_models_and_tags_of_the_locked_library() -> None:
    """After a change of the lock, `make names` brings the list up to date."""
    version = read_json(LIST)["version"]
    assert re.search(rf"(?m)^open-clip-torch=={re.escape(version)}\b", LOCK.read_text())
    pytest.importorskip("open_clip")
    if importlib.metadata.version(LIBRARY) != version:
        pytest.skip("another open_clip than the locked one is installed")
    # Models that other tests have registered come on top.
    installed = {model: tuple(tags) for model, tags in installed_clip_names().items()}
    assert {model: installed[model] for model in shipped_clip_names()} == dict(shipped_clip_names())
    assert not {model for model, tags in installed.items() if tags} - set(shipped_clip_names())
