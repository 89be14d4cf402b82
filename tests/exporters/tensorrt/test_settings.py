from typing import Any

import pytest

from exporters.core.errors import UsageError
from exporters.tensorrt.libraries import Library
from exporters.tensorrt.settings import EngineSettings


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"batch": (1, 32, 16)}, r"min 1, opt 32, max 16 are out of order"),
        ({"batch": (4, 2, 8)}, "out of order"),
        ({"batch": (0, 1, 2)}, "out of order"),
        ({"batch": (1, 2)}, "three whole numbers"),
        ({"batch": (1, 2.5, 4)}, "three whole numbers"),
        ({"workspace_bytes": 1000}, "workspace_bytes: 1000 is less"),
        ({"compute_capabilities": ("86",)}, "'86' is not of the form"),
        ({"compute_capabilities": ("8.6", "8.6")}, "occurs twice"),
    ],
)
def test_invalid_settings_are_refused(values: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        EngineSettings(**values)
    assert caught.value.exit_code == 2


def test_settings_without_effect_are_refused(rtx: Library) -> None:
    for key in ("version_compatible", "hardware_compatible"):
        with pytest.raises(UsageError, match=key):
            EngineSettings(**{key: True}).check(rtx)  # type: ignore[arg-type]
    tensorrt = Library(rtx.module, "tensorrt", "10.9.0")
    EngineSettings(version_compatible=True, hardware_compatible=True).check(tensorrt)
    with pytest.raises(UsageError, match="GPU at hand"):
        EngineSettings(compute_capabilities=("8.6",)).check(tensorrt)
    with pytest.raises(UsageError, match=r"9\.0"):
        EngineSettings(compute_capabilities=("8.6", "9.0")).check(rtx)
    EngineSettings(compute_capabilities=("8.6", "12.0")).check(rtx)
