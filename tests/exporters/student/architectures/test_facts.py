"""The shipped list of parameters and weights, against the installed libraries on a sample."""

from pathlib import Path

import pytest

from exporters.core.files import read_json
from exporters.student.architectures import CIFAR_NAMES, Architecture, build, resolve
from exporters.student.architectures import facts as facts_module
from exporters.student.architectures.facts import (
    CLASSES,
    LIST,
    count_parameters,
    installed_facts,
    known_networks,
    published_weights,
    write_facts,
)
from exporters.student.architectures.names import shipped_names

SAMPLE = [
    ("torchvision", "mobilenet_v3_small"),
    ("torchvision", "googlenet"),
    ("timm", "resnet10t"),
    ("timm", "tf_efficientnet_lite0"),
    ("timm", "vit_tiny_patch16_224"),
    ("cifar", "resnet20"),
    ("cifar", "mobilenet_v2"),
]


def test_every_name_has_facts_and_no_other() -> None:
    listed = read_json(LIST)
    assert set(listed["cifar"]) == set(CIFAR_NAMES)
    for source in ("torchvision", "timm"):
        assert set(listed[source]) == shipped_names(source)
    counted = [network for network in known_networks() if network.parameters is not None]
    assert len(counted) > 0.97 * len(known_networks())


@pytest.mark.parametrize(("source", "name"), SAMPLE)
def test_facts_are_those_of_the_installed_libraries(source: str, name: str) -> None:
    pytest.importorskip(source if source != "cifar" else "torch")
    network = build(Architecture(name, source), CLASSES[source])
    parameters, weights = read_json(LIST)[source][name]
    assert parameters == sum(parameter.numel() for parameter in network.parameters())
    assert weights == published_weights(source, name)


def test_published_numbers_are_met() -> None:
    found = {network.name: network for network in known_networks()}
    assert found["resnet18"].parameters == 11_689_512 and found["mobilenet_v2"].parameters == 3_504_872
    assert str(found["resnet18"].weights).endswith("/resnet18-f37072fd.pth")
    assert found["timm:resnet18"].weights == "hub:timm/resnet18.a1_in1k"
    assert found["resnet20"].weights is None and found["resnet20"].source == "cifar"


def test_names_are_written_as_recipes_take_them() -> None:
    pytest.importorskip("timm")
    networks = known_networks()
    assert len({network.name for network in networks}) == len(networks)
    shared = [network for network in networks if network.name.rpartition(":")[2] in shipped_names("torchvision")]
    for network in shared:
        assert resolve(network.name) == (network.source, network.name.rpartition(":")[2])


def test_network_that_cannot_be_built_has_no_count() -> None:
    pytest.importorskip("torch")
    assert count_parameters("cifar", "resnet9") is None


def test_the_list_is_written_from_what_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_module, "LIST", tmp_path / "facts.json")
    monkeypatch.setattr(facts_module, "installed_names", lambda source: {"torchvision": ["resnet18"]}.get(source, []))
    pytest.importorskip("torchvision")
    write_facts()
    written = read_json(tmp_path / "facts.json")
    assert written["torchvision"] == {"resnet18": read_json(LIST)["torchvision"]["resnet18"]}
    assert written["timm"] == {} and written["cifar"] == read_json(LIST)["cifar"]
    assert len(list(installed_facts())) == 1 + len(CIFAR_NAMES)
