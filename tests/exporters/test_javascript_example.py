"""The JavaScript example reads a bundle and reproduces its golden outputs: the contract needs no Python."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "javascript"


def test_the_lock_names_no_host() -> None:
    lock = (EXAMPLE / "package-lock.json").read_text("utf-8")
    assert "://" not in lock and "resolved" not in lock
    locked = json.loads(lock)["packages"]
    wanted = json.loads((EXAMPLE / "package.json").read_text("utf-8"))["dependencies"]
    assert locked[""]["dependencies"] == wanted
    assert all("integrity" in entry for name, entry in locked.items() if name)


def node(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_reader_needs_no_packages_and_checks_hashes(packed: Path, tmp_path: Path) -> None:
    """The reader alone, which needs no package."""
    code = (
        "import {readArray, readBundle} from './bundle.js';"
        "const bundle = readBundle(process.argv[1]);"
        "const array = readArray(bundle.bytes('golden/outputs.npz'));"
        "console.log(JSON.stringify([array.dims, Array.from(array.data)]));"
    )
    result = node(EXAMPLE, "--input-type=module", "--eval", code, packed)
    assert result.returncode == 0, result.stderr
    dims, values = json.loads(result.stdout)
    golden = np.load(packed / "golden" / "outputs.npz")["logits"]
    np.testing.assert_array_equal(np.array(values, np.float32).reshape(dims), golden)
    for change in ("labels.json", "extra.json", "golden/inputs.npz"):
        bundle = Path(shutil.copytree(packed, tmp_path / change.replace("/", "-")))
        with (bundle / change).open("ab") as stream:
            stream.write(b" ")
        refused = node(EXAMPLE, "--input-type=module", "--eval", code, bundle)
        assert refused.returncode != 0 and change in refused.stderr


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_the_golden_outputs_are_reproduced(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "javascript"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    subprocess.run(["npm", "ci", "--omit=dev", "--ignore-scripts"], cwd=folder, check=True, timeout=280)
    done = node(folder, "check.js", packed)
    assert done.returncode == 0, done.stderr
    assert "golden image 7: " in done.stdout and "largest error" in done.stdout
    bundle = Path(shutil.copytree(packed, tmp_path / "bundle"))
    with (bundle / "model.onnx").open("ab") as stream:
        stream.write(b"\0")
    refused = node(folder, "check.js", bundle)
    assert refused.returncode == 3 and "model.onnx: damaged" in refused.stderr
