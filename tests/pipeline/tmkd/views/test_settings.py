import subprocess
import sys
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.tmkd.views.settings import VIEW_KINDS, ChosenViews, EdgeView, HighFrequencyView, NamedViews, default_views

VIEWS = TypeAdapter(NamedViews)


def test_views_are_read_by_name_and_by_kind() -> None:
    given = {
        "edge": {"strength": 0.5},
        "soft": {"kind": "high_frequency", "filter": "gaussian"},
        "high_frequency": None,
    }
    assert VIEWS.validate_python(given) == {
        "edge": EdgeView(strength=0.5), "soft": HighFrequencyView(filter="gaussian")
    }  # fmt: skip
    assert VIEWS.validate_python({"soft": EdgeView()}) == {"soft": EdgeView()}


@pytest.mark.parametrize(
    ("views", "named"),
    [
        ({"rgb": {"kind": "edge"}}, "rgb"),
        ({"sketch": {}}, "sketch"),
        ({"sketch": None}, "edge, high_frequency, flip, zoom, grey, blur"),
        ({"zoom": {"share": 0.0}}, "share"),
        ({"grey": {"strength": 1.5}}, "strength"),
        ({"flip": {"axis": "diagonal"}}, "diagonal"),
        ({"edge": {"kind": "colour"}}, "colour"),
        ({"edge": {"cutoff": 0.1}}, "cutoff"),
    ],
)
def test_a_bad_view_is_named(views: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        VIEWS.validate_python(views)


def test_views_are_named_or_chosen() -> None:
    chosen = TypeAdapter(ChosenViews)
    assert chosen.validate_python("auto") == "auto"
    assert chosen.validate_python({"edge": {}}) == {"edge": EdgeView()}
    for wrong, named in (("all", "auto"), (3, "dictionary"), ({"rgb": {"kind": "edge"}}, "always the view rgb")):
        with pytest.raises(ValidationError, match=named) as caught:
            chosen.validate_python(wrong)
        assert len(caught.value.errors()) == 1


def test_null_for_a_view_of_no_kind_names_it_and_a_text_is_no_view() -> None:
    with pytest.raises(ValidationError, match="null removes a view, and none is called so") as caught:
        VIEWS.validate_python({"edge": {}, "sketch": None})
    assert caught.value.errors()[0]["ctx"]["at"] == "sketch"
    with pytest.raises(ValidationError, match="edge"):
        VIEWS.validate_python({"edge": "strong"})


def test_unknown_operators_modes_and_filters_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"operator[^$]*'canny'"):
        EdgeView(operator="canny")
    for view in (EdgeView, HighFrequencyView):
        with pytest.raises(ValidationError, match=r"mode[^$]*'add'"):
            view(mode="add")
    with pytest.raises(ValidationError, match=r"filter[^$]*'box'"):
        HighFrequencyView(filter="box")


def test_every_kind_may_be_left_out_under_its_own_name() -> None:
    views = VIEWS.validate_python({kind: {} for kind in VIEW_KINDS})
    assert {name: view.kind for name, view in views.items()} == {kind: kind for kind in VIEW_KINDS}


def test_the_default_views_are_those_of_the_paper() -> None:
    assert default_views() == {"edge": EdgeView(), "high_frequency": HighFrequencyView()}


def test_settings_do_not_load_torch() -> None:
    code = "import sys, pipeline.tmkd.views.settings, pipeline.tmkd.settings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
