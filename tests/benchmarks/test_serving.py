"""The parts of the load test; the load itself is left to manual runs."""

from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks.serving import failures, to_markdown
from benchmarks.serving_faults import broken_uploads, make_versions, version
from exporters.bundle.contents import BundleContents
from exporters.bundle.pack import pack
from exporters.bundle.verify import verify_bundle
from exporters.client import Student
from exporters.core.errors import GateError
from exporters.serving.problems import RequestError
from exporters.serving.uploads import prepare_upload
from tests.exporters.conftest import cifar, contents  # noqa: F401
from tests.exporters.serving.conftest import photo


@pytest.fixture(scope="module")
def bundle(contents: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("load") / "bundle"
    pack(contents, folder)
    return folder


def test_three_distinct_bundle_versions_are_made(bundle: Path, tmp_path: Path) -> None:
    versions = make_versions(bundle, tmp_path)
    assert len({version(folder) for folder in versions.values()}) == 3
    for name in ("first", "second"):
        verify_bundle(versions[name])
    with pytest.raises(GateError, match="golden"):
        verify_bundle(versions["bad"])


def test_every_broken_upload_is_refused(bundle: Path) -> None:
    student = Student.load(bundle, threads=1)
    uploads = broken_uploads(photo(width=200, height=150))
    assert max(len(body) for body, _ in uploads) == 50_000_000
    for body, headers in uploads:
        with pytest.raises(RequestError):
            prepare_upload(student.preprocessing, body, headers.get("Content-Type"), 25_000_000)


def test_failures_and_table_are_reported() -> None:
    requests = {"done": 9, "wrong": 0, "lost": 0, "rounded": 0, "examples": [], "versions": {"a": 4, "b": 5}}
    result = {
        "requests": {**requests, "p50": 1.0, "p99": 2.0},
        "connections": 32,
        "images_per_cpu_second": {"bare": 10.0, "server": 9.0},
        "ratio": 0.9,
        "images_per_batch": 2.0,
        "broken_uploads": dict(Counter({"422": 3})),
        "exit_code": 0,
    }
    assert failures(result) == []
    assert "| server | 9.0 | 0.900" in to_markdown(result)
    result.update(
        exit_code=1, broken_uploads={"not orderly: 500": 1}, requests={**requests, "wrong": 1, "versions": {}}
    )
    assert len(failures(result)) == 4
