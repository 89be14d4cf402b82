import dataclasses
import errno
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from exporters.bundle.archive import tar_path
from exporters.bundle.contents import BundleContents
from exporters.bundle.pack import pack
from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.files import sha256_file
from exporters.core.locks import held
from exporters.core.write_errors import WriteError
from exporters.images.preprocessing import Preprocessing
from tests.exporters.conftest import LABELS
from tests.exporters.forging import FILES as ALL_FILES

FILES = set(ALL_FILES)


def test_bundle_holds_the_files_of_the_contract(packed: Path, contents: BundleContents) -> None:
    found = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()}
    assert found == FILES
    manifest = json.loads((packed / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        path = packed / name
        assert entry == {"sha256": sha256_file(path), "size": path.stat().st_size}
    assert (packed / "manifest.sha256").read_text() == f"{sha256_file(packed / 'manifest.json')}  manifest.json\n"
    assert (packed / "model.onnx").read_bytes() == contents.models[0].data
    assert json.loads((packed / "labels.json").read_text()) == LABELS
    assert Preprocessing.from_json(json.loads((packed / "preprocess.json").read_text())) == contents.preprocessing
    np.testing.assert_array_equal(np.load(packed / "golden/inputs.npz")["image"], contents.golden_images)
    np.testing.assert_array_equal(np.load(packed / "golden/outputs.npz")["logits"], contents.golden_logits)
    assert json.loads((packed / "parity.json").read_text())["fp32"]["passed"] is True
    model, (shipped,) = manifest["models"]["model.onnx"], contents.models
    assert model["opset"] == 20
    assert [entry["name"] for entry in model["initializers"]] == [entry["name"] for entry in shipped.initializers]
    assert manifest["facts"]["teacher"] == {"visual": "resnet50 | timm"}
    assert manifest["facts"]["licences"]["weights"] is None


def test_the_same_contents_give_the_same_bytes(packed: Path, contents: BundleContents, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    pack(contents, folder)
    os.utime(folder / "model.onnx", (1, 1))
    for name in FILES:
        assert (folder / name).read_bytes() == (packed / name).read_bytes()
    assert sha256_file(tar_path(folder)) == sha256_file(tar_path(packed))


def test_archive_is_sorted_and_holds_every_file(packed: Path) -> None:
    with tarfile.open(packed.parent / "bundle.tar") as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == sorted(member.name for member in members)
        assert {member.name for member in members if member.isfile()} == {f"bundle/{name}" for name in FILES}
        for member in members:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            if member.isfile():
                stream = archive.extractfile(member)
                assert stream is not None
                assert stream.read() == (packed.parent / member.name).read_bytes()


def test_a_newer_bundle_replaces_an_older_one(contents: BundleContents, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "old").touch()
    tar_path(folder).write_text("old")
    manifest = pack(contents, folder)
    assert not (folder / "old").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "bundle.tar"]
    assert manifest == json.loads((folder / "manifest.json").read_text())


def refused(contents: BundleContents, tmp_path: Path, **changes: object) -> str:
    """The message of a bundle that is not written, and that nothing was written."""
    with pytest.raises((GateError, UsageError)) as caught:
        pack(dataclasses.replace(contents, **changes), tmp_path / "bundle")
    assert not list(tmp_path.glob("bundle*"))
    assert not list(tmp_path.glob(".*"))
    return str(caught.value)


def test_archive_that_cannot_be_written_leaves_the_earlier_bundle(
    contents: BundleContents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    pack(contents, out)
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "addfile", fail)
    newer = dataclasses.replace(contents, facts=dataclasses.replace(contents.facts, recipe_sha256="ef" * 32))
    with pytest.raises(WriteError, match="the disk is full"):
        pack(newer, out)
    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before


def test_contents_that_fail_a_check_are_refused(contents: BundleContents, tmp_path: Path) -> None:
    assert "parity of model.onnx" in refused(contents, tmp_path, parity={"fp32": {"passed": False}})
    assert "has not passed" in refused(contents, tmp_path, parity={})
    assert "golden images" in refused(contents, tmp_path, golden_images=contents.golden_images[:3])
    (model,) = contents.models
    wrong = contents.golden_logits * np.float32(1.01)
    assert "does not reproduce" in refused(contents, tmp_path, golden_logits=wrong)
    assert "labels.json" in refused(contents, tmp_path, labels=[*LABELS[1:], LABELS[0]])
    swapped = np.ascontiguousarray(contents.golden_images[..., ::-1])
    assert "does not reproduce" in refused(contents, tmp_path, golden_images=swapped)
    other = dataclasses.replace(contents.preprocessing, mean=(0.1, 0.1, 0.1))
    assert "preprocess.json" in refused(contents, tmp_path, preprocessing=other)
    assert "tensors" in refused(
        contents, tmp_path, models=[dataclasses.replace(model, initializers=model.initializers[1:])]
    )
    assert "no images of 32 pixels" in refused(contents, tmp_path, golden_images=contents.golden_images[:, :16])
    assert "do not fit" in refused(contents, tmp_path, golden_logits=contents.golden_logits[:, :3])


def test_unknown_licence_is_refused(contents: BundleContents, tmp_path: Path) -> None:
    facts = dataclasses.replace(contents.facts, licences={"weights": "free for all"})
    assert "'free for all': not an SPDX identifier" in refused(contents, tmp_path, facts=facts)


def test_local_paths_are_refused(contents: BundleContents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/nethome/ada"))
    facts = dataclasses.replace(contents.facts, teacher={"visual": "/nethome/ada/teacher.pth"})
    message = refused(contents, tmp_path, facts=facts)
    assert "MODEL_CARD.md" in message and "manifest.json" in message and "/nethome/ada" in message
    facts = dataclasses.replace(contents.facts, teacher={"visual": "/srv/models/teacher.pth"})
    assert "tells about the machine that it was made on: '/srv/models" in refused(contents, tmp_path, facts=facts)


def test_model_that_was_not_audited_is_refused(contents: BundleContents, tmp_path: Path) -> None:
    (shipped,) = contents.models
    model = onnx.load_from_string(shipped.data)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((9, 9), np.float32), "teacher"))
    other = dataclasses.replace(shipped, data=model.SerializeToString())
    assert "teacher" in refused(contents, tmp_path, models=[other])


def test_two_processes_do_not_pack_into_one_folder(contents: BundleContents, tmp_path: Path) -> None:
    other = held(tmp_path / ".bundle.lock", UnavailableError)
    with other, pytest.raises(UnavailableError, match=r"another process .* packs a bundle there"):
        pack(contents, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())
