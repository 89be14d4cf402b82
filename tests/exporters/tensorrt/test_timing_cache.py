from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from exporters.tensorrt import EngineSettings, build_engine
from exporters.tensorrt.gpu import Gpu
from exporters.tensorrt.libraries import Library
from exporters.tensorrt.timing_cache import load
from tests.exporters.tensorrt.conftest import Models


def test_timing_cache_is_made_reused_and_replaced_if_damaged(rtx: Library, resnet: Models, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "kernels.cache"
    settings = EngineSettings((1, 4, 8), timing_cache=cache)

    def build() -> str:
        built = build_engine(resnet.fp32, tmp_path / "a.plan", settings, precision="fp32", library=rtx)
        assert any("Global timing cache in use" in line for line in built.sidecar["log"])
        return str(built.sidecar["timing_cache"])

    assert build() == "new"
    first = cache.read_bytes()
    assert build() == "reused"
    cache.write_bytes(first[:-1] + bytes([first[-1] ^ 1]))
    assert build() == "replaced: damaged"
    assert load(cache, rtx, None)[1] == "reused"
    assert [path.name for path in cache.parent.iterdir()] == ["kernels.cache"]

    assert load(cache, rtx, Gpu("NVIDIA RTX", "8.9"))[1] == "replaced: of another TensorRT or GPU"
    assert load(cache, Library(rtx.module, "tensorrt_rtx", "0.1"), None)[1] == "replaced: of another TensorRT or GPU"


@pytest.mark.parametrize("content", [b"", b"\n", b"[]\nabc", b"\xff\xfe", b'{"sha256": "00"}\nabc'])
def test_damaged_cache_is_replaced_by_an_empty_one(rtx: Library, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache").write_bytes(content)
    assert load(tmp_path / "cache", rtx, None) == (b"", "replaced: damaged")


def test_folder_is_refused_as_cache(rtx: Library, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="timing_cache"):
        load(tmp_path, rtx, None)
