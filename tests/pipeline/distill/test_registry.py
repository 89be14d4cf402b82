import subprocess
import sys

import pytest

from pipeline.distill.methods.base import Method
from pipeline.distill.registry import METHODS, base_methods, load_method, needs_stages


@pytest.mark.parametrize("name", METHODS)
def test_entry_agrees_with_its_class(name: str) -> None:
    entry, method = METHODS[name], load_method(name)
    assert issubclass(method, Method)
    if name == "tmkd":  # its lines depend on its base
        return
    assert method.has_feature_loss() == ("feature" in entry.losses) == (entry.feature_weight is not None)
    assert method.has_logits_loss() == ("logits" in entry.losses) == (entry.logits_weight is not None)
    assert (entry.logits_temperature is not None) == ("logits" in entry.losses)
    assert entry.needs_teacher == bool(entry.losses)
    assert entry.needs_feature_map or not (entry.needs_cam or entry.needs_places)


def test_bases_are_the_methods_with_a_teacher() -> None:
    assert base_methods() == tuple(name for name, entry in METHODS.items() if entry.needs_teacher and name != "tmkd")
    assert {"kd", "dkd", "cat_kd", "crd", "reviewkd"} <= set(base_methods())


def test_default_weights_are_the_published_ones() -> None:
    assert (METHODS["kd"].ce_weight, METHODS["kd"].logits_weight, METHODS["kd"].logits_temperature) == (0.1, 0.9, 4)
    assert (METHODS["cat_kd"].ce_weight, METHODS["cat_kd"].feature_weight) == (1, 40)
    assert (METHODS["fitnet"].ce_weight, METHODS["fitnet"].feature_weight) == (1, 100)
    assert (METHODS["reviewkd"].ce_weight, METHODS["reviewkd"].feature_weight) == (1, 1)
    assert (METHODS["rkd"].ce_weight, METHODS["rkd"].feature_weight) == (1, 25)
    assert (METHODS["sp"].ce_weight, METHODS["sp"].feature_weight) == (1, 3000)
    assert (METHODS["at"].ce_weight, METHODS["at"].feature_weight) == (1, 1000 / 2)


def test_only_methods_of_several_maps_need_stages() -> None:
    assert {name for name in METHODS if needs_stages(name, "kd")} == {"fitnet", "reviewkd"}
    assert needs_stages("tmkd", "fitnet") and not needs_stages("kd", "fitnet")


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load_method("kdd")


def test_registry_and_settings_do_not_load_torch() -> None:
    code = "import sys, pipeline.distill.registry, pipeline.distill.settings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
