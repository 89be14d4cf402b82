import hashlib
import json
import resource
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from exporters.core.write_errors import WriteError
from pipeline.data.prepare.download import ATTEMPTS, download
from tests.pipeline.data.prepare.conftest import Reporter, Served, Server

DATA = np.random.default_rng(0).bytes(700_000)
LIMIT = 2_000_000


class Fetch:
    """`download` of the server's file `a.bin`, without waiting; `pauses` are those that were asked for."""

    def __init__(self, server: Server, folder: Path, reporter: Reporter) -> None:
        self.server, self.path, self.reporter = server, folder / "a.bin", reporter
        self.pauses: list[float] = []

    def __call__(self, md5: str | None = hashlib.md5(DATA).hexdigest(), limit: int = LIMIT) -> str:
        return download(
            self.server.url("a.bin"), self.path, limit=limit, md5=md5, reporter=self.reporter, timeout=5,
            pause=self.pauses.append,
        )  # fmt: skip

    @property
    def part(self) -> Path:
        return self.path.with_name("a.bin.part")

    def left(self) -> set[str]:
        return {path.name for path in self.path.parent.iterdir()}

    def begin(self, size: int, etag: str | None = '"1"') -> None:
        """Leave what a command interrupted after `size` bytes would leave."""
        self.part.write_bytes(DATA[:size])
        state = {"url": self.server.url("a.bin"), "etag": etag, "last_modified": None}
        self.part.with_name("a.bin.part.json").write_text(json.dumps(state))


@pytest.fixture
def fetch(server: Server, tmp_path: Path, reporter: Reporter) -> Fetch:
    return Fetch(server, tmp_path, reporter)


def test_download_leaves_only_the_file(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA)
    assert fetch() == hashlib.sha256(DATA).hexdigest()
    assert fetch.path.read_bytes() == DATA and fetch.left() == {"a.bin"}
    (_, total, steps) = fetch.reporter.tracked[0]
    assert (total, steps.done) == (len(DATA), len(DATA))
    assert fetch() == hashlib.sha256(DATA).hexdigest() and len(fetch.server.asked) == 1


def test_full_disk_keeps_the_part_already_downloaded(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(
            WriteError, match=rf"^{fetch.part}: cannot be written: it would be larger .* MB are free in"
        ):
            fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert fetch.part.read_bytes() == DATA[:300_000]
    assert fetch() == hashlib.sha256(DATA).hexdigest()
    assert fetch.left() == {"a.bin"} and len(fetch.server.asked) == 2


def test_without_a_length_and_without_a_checksum(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA, length=False, etag=None)
    assert fetch(md5=None) == hashlib.sha256(DATA).hexdigest()


def test_cut_connections_are_resumed_where_they_ended(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA, cuts=[100_000, 50_000])
    fetch()
    assert fetch.path.read_bytes() == DATA
    assert [asked for _, asked in fetch.server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert fetch.pauses == [1, 1] and "100,000 bytes are here" in fetch.reporter.lines[0]


def test_the_next_command_resumes_too(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA)
    fetch.begin(300_000)
    fetch()
    assert fetch.server.asked == [("a.bin", "bytes=300000-")] and fetch.path.read_bytes() == DATA
    assert fetch.reporter.tracked[0][2].done == len(DATA)


def test_server_without_ranges_restarts_the_download(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA, ranges=False, cuts=[100_000])
    fetch()
    assert [asked for _, asked in fetch.server.asked] == [None, "bytes=100000-"]
    assert fetch.path.read_bytes() == DATA


@pytest.mark.parametrize("ignore", [False, True])
def test_a_file_that_changed_meanwhile_is_fetched_anew(fetch: Fetch, ignore: bool) -> None:
    fetch.server.files["a.bin"] = Served(DATA, etag='"2"', ignore_condition=ignore)
    fetch.begin(300_000)
    fetch.part.write_bytes(bytes(300_000))
    fetch()
    assert fetch.path.read_bytes() == DATA


def test_part_of_unknown_origin_is_not_resumed(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA)
    fetch.part.write_bytes(bytes(1000))
    fetch()
    assert fetch.server.asked == [("a.bin", None)] and fetch.path.read_bytes() == DATA


def test_complete_part_refused_with_416_is_checked(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA)
    fetch.begin(len(DATA))
    fetch()
    assert len(fetch.server.asked) == 1 and fetch.path.read_bytes() == DATA


def test_416_of_a_part_that_is_too_long_starts_again(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA)
    fetch.begin(len(DATA))
    with fetch.part.open("ab") as stream:
        stream.write(b"more")
    fetch()
    assert [asked for _, asked in fetch.server.asked] == [f"bytes={len(DATA) + 4}-", None]
    assert fetch.path.read_bytes() == DATA


def test_wrong_checksum_is_an_error_and_nothing_is_removed(fetch: Fetch) -> None:
    wrong = DATA[:-1] + b"?"
    fetch.server.files["a.bin"] = Served(wrong)
    with pytest.raises(UnavailableError) as caught:
        fetch()
    found = hashlib.md5(wrong).hexdigest()
    assert f"expected md5 {hashlib.md5(DATA).hexdigest()}, found {found}" in caught.value.message
    aside = fetch.path.with_name(f"a.bin.{found[:8]}.wrong")
    assert aside.read_bytes() == wrong and str(aside) in str(caught.value) and fetch.left() == {aside.name}
    fetch.server.files["a.bin"] = Served(DATA)
    fetch()
    assert fetch.left() == {aside.name, "a.bin"}


def test_existing_wrong_file_is_left_alone(fetch: Fetch) -> None:
    fetch.path.write_bytes(b"mine")
    with pytest.raises(UnavailableError, match="is there already, and is not the file") as caught:
        fetch()
    assert str(fetch.path) in caught.value.message and fetch.path.read_bytes() == b"mine"


def test_number_of_attempts_is_limited(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA, ranges=False, cuts=[100_000] + [50_000] * 20)
    with pytest.raises(UnavailableError, match=f"{ATTEMPTS} attempts") as caught:
        fetch()
    assert fetch.pauses == [1, 1, 2, 4, 8] and len(fetch.server.asked) == ATTEMPTS + 1
    assert str(fetch.path) in str(caught.value)  # where to put it by hand


def test_unreachable_server_is_an_error(fetch: Fetch, server: Server) -> None:
    server.close()
    with pytest.raises(UnavailableError, match="no connection"):
        fetch()
    server.__init__()  # type: ignore[misc] # for the fixture's own end


def test_busy_server_is_retried_and_missing_file_is_not(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(DATA, statuses=[503, 429])
    fetch()
    assert len(fetch.server.asked) == 3
    fetch.path.unlink()
    del fetch.server.files["a.bin"]
    with pytest.raises(UnavailableError, match="404") as caught:
        fetch()
    assert len(fetch.server.asked) == 4 and fetch.server.url("a.bin") in caught.value.message


def test_redirects_are_followed_on_the_web_alone(fetch: Fetch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    fetch.server.files["b.bin"] = Served(DATA)
    fetch.server.files["a.bin"] = Served(redirect="/b.bin")
    fetch()
    fetch.path.unlink()
    for target in (secret.as_uri(), "ftp://127.0.0.1/x", "data:text/plain,x", "http://[bad/"):
        fetch.server.files["a.bin"] = Served(redirect=target)
        with pytest.raises(UnavailableError, match=r"neither http nor https|no address"):
            fetch()
        assert fetch.left() == {"secret"}
    with pytest.raises(UnavailableError, match="neither http nor https"):
        download(secret.as_uri(), fetch.path, limit=LIMIT, reporter=fetch.reporter)


def test_redirects_that_never_end(fetch: Fetch) -> None:
    fetch.server.files["a.bin"] = Served(redirect="/a.bin")
    with pytest.raises(UnavailableError, match="redirect"):
        fetch()


@pytest.mark.parametrize("served", [Served(endless=True), Served(DATA)])
def test_download_stops_at_the_limit(fetch: Fetch, served: Served) -> None:
    fetch.server.files["a.bin"] = served
    with pytest.raises(UnavailableError, match="longer than 500,000 bytes"):
        fetch(limit=500_000)
    assert fetch.left() == set()


def test_free_space_is_checked_before_the_download(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch.server.files["a.bin"] = Served(DATA)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=50_100_000))
    with pytest.raises(UnavailableError, match=r"needs 51 MB in .*, where 50 MB are free"):
        fetch()
    fetch.begin(650_000)
    fetch()  # what is missing fits


def test_interrupted_download_is_resumed(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch.server.files["a.bin"] = Served(DATA)
    monkeypatch.setattr("pipeline.data.prepare.download.CHUNK", 100_000)

    def interrupt(_self: object, _steps: int = 1) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tests.pipeline.data.prepare.conftest.Steps.advance", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch()
    assert fetch.left() == {"a.bin.part", "a.bin.part.json"}
    fetch()
    assert fetch.server.asked[-1] == ("a.bin", "bytes=100000-") and fetch.path.read_bytes() == DATA
