"""The shipped list of network names, and the names nearest to a misspelt one."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from exporters.core.files import read_json
from exporters.student.architectures import (
    CIFAR_NAMES,
    Architecture,
    UnknownNameError,
    build,
    check_name,
    has_batch_norm,
    resolve,
)
from exporters.student.architectures import names as names_module
from exporters.student.architectures.names import LIST, installed_names, is_complete, nearest_names, shipped_names

LOCK = Path(__file__).parents[4] / "requirements.lock"


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_the_list_has_the_names_of_the_locked_library(source: str) -> None:
    """After a change of the lock, `make names` brings the list up to date."""
    version = read_json(LIST)["versions"][source]
    assert re.search(rf"(?m)^{source}=={re.escape(version)}\b", LOCK.read_text())
    pytest.importorskip(source)
    if importlib.metadata.version(source) != version:
        pytest.skip(f"another {source} than the locked one is installed")
    # The image towers of our small CLIPs are registered with timm once these were built.
    installed = [name for name in installed_names(source) if not name.startswith("tmkd_")]
    assert sorted(shipped_names(source)) == installed


@pytest.mark.parametrize(
    ("slip", "nearest"),
    [
        ("resnet-18", ("resnet18",)),
        ("ResNet50", ("resnet50",)),
        ("mobilenetv3_small", ("mobilenet_v3_small",)),
        ("efficientnet-b0", ("efficientnet_b0",)),
        ("vit-b-16", ("vit_b_16",)),
        ("timm:resnet50.a1_in1k", ("timm:resnet50",)),
        ("cifar:MobileNetV2", ("cifar:mobilenet_v2",)),
        ("effnet_b0", ("efficientnet_b0",)),
        ("xyzzyqq", ()),
    ],
)
def test_a_slip_is_refused_with_the_nearest_names(slip: str, nearest: tuple[str, ...]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        check_name(slip)
    assert caught.value.exit_code == 2
    assert caught.value.nearest == nearest


def test_prefix_suggests_the_full_name() -> None:
    assert nearest_names("deit_tiny", shipped_names("timm"))[0] == "deit_tiny_patch16_224"


def test_slip_in_a_family_suggests_its_networks() -> None:
    assert {"mobilenet_v3_small", "mobilenet_v3_large"} <= set(
        nearest_names("mobilnet_v3", shipped_names("torchvision"))
    )
    assert nearest_names("eficientnet", shipped_names("torchvision"))[0] == "efficientnet_b0"


@pytest.mark.parametrize("name", ["resnet18", "timm:convnext_atto", "cifar:resnet20", "resnet20", "torchvision:vgg11"])
def test_names_that_exist_pass(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["resnet 18", "", "a/b", "keras:resnet"])
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)


def test_the_libraries_and_the_list_suggest_the_same() -> None:
    pytest.importorskip("timm")
    for slip in ("resnet-18", "timm:resnet-18", "convnextatto"):
        with pytest.raises(UnknownNameError) as by_list:
            check_name(slip)
        with pytest.raises(UnknownNameError) as by_library:
            resolve(slip)
        assert by_list.value.nearest == by_library.value.nearest
        assert str(by_list.value) == str(by_library.value)


def test_a_newer_library_may_have_more_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module.importlib.metadata, "version", lambda name: "99.0")
    check_name("timm:resnet_of_the_future")
    with pytest.raises(UnknownNameError):
        check_name("cifar:resnet_of_the_future")


def test_an_absent_library_leaves_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(names_module.importlib.metadata, "version", absent)
    assert is_complete("timm", "1.0")


def test_every_suggestion_can_be_built_by_its_name() -> None:
    for slip in ("resnet-2", "mobilenet", "vgg", "wrn-40", "shufflenet"):
        with pytest.raises(UnknownNameError) as caught:
            check_name(slip)
        for name in caught.value.nearest:
            check_name(name)
    assert all(name in CIFAR_NAMES for name in nearest_names("resnet-20", CIFAR_NAMES))


@pytest.mark.parametrize(
    "name",
    ["resnet18", "vgg11", "vgg11_bn", "squeezenet1_1", "mnasnet0_5", "shufflenet_v2_x0_5", "regnet_x_400mf", "swin_t",
     "mobilenet_v3_small", "vit_b_16", "convnext_tiny", "densenet121", *(f"cifar:{name}" for name in CIFAR_NAMES)],
)  # fmt: skip
def test_batch_norms_are_known_from_the_name(name: str) -> None:
    torch = pytest.importorskip("torch")
    with torch.device("meta" if "regnet" not in name else "cpu"):
        network = build(Architecture(*reversed(resolve(name))), 3)
    layers = [module for module in network.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    assert has_batch_norm(name) is bool(layers)
    assert has_batch_norm("timm:resnet18") is None


def test_no_library_is_imported() -> None:
    code = (
        "import sys; from exporters.student.architectures import check_name\n"
        "try: check_name('resnet-18')\n"
        "except Exception as error: assert 'resnet18' in str(error)\n"
        "else: raise SystemExit('accepted')\n"
        "assert not {'torch', 'timm', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
