import pytest

from pipeline.recipe import accelerator
from pipeline.recipe.accelerator import may_be_cuda
from pipeline.recipe.schema.recipe import Recipe


@pytest.mark.parametrize(
    ("device", "platform", "driver", "visible", "expected"),
    [
        ("cuda", "linux", False, None, True),
        ("cpu", "linux", True, None, False),
        ("mps", "darwin", False, None, False),
        ("auto", "linux", True, None, True),
        ("auto", "linux", False, None, False),
        ("auto", "linux", True, "", False),
        ("auto", "linux", True, "-1", False),
        ("auto", "linux", True, "0", True),
        ("auto", "darwin", False, None, False),
        ("auto", "win32", False, None, True),  # not known without asking the driver
    ],
)
def test_cuda_is_ruled_out_only_where_that_is_certain(
    device: str,
    platform: str,
    driver: bool,
    visible: str | None,
    expected: bool,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path_factory.mktemp("dev") / "nvidiactl"
    if driver:
        file.write_text("")
    monkeypatch.setattr(accelerator, "_DEVICE_FILES", (str(file),))
    monkeypatch.setattr(accelerator.sys, "platform", platform)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert may_be_cuda(Recipe.model_validate({"device": device})) is expected
