"""The parts of HTTP without a connection; downloads are tested in test_download.py."""

import pytest

from pipeline.data.prepare.web import RefusedError, Version, require_web, unavailable


@pytest.mark.parametrize("url", ["http://a/b", "HTTPS://a/b"])
def test_http_and_https_are_allowed(url: str) -> None:
    require_web(url)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "data:text/plain,x", "/b", "http://[::1"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(RefusedError, match="leads to"):
        require_web(url)


def test_relative_redirects_are_allowed() -> None:
    require_web("/b", relative=True)
    with pytest.raises(RefusedError):
        require_web("file:/b", relative=True)


def test_condition_is_a_strong_etag_or_the_date() -> None:
    assert Version('"1"', "Mon").condition == '"1"'
    assert Version('W/"1"', "Mon").condition == "Mon"
    assert Version(None, None).condition is None


def test_versions_contradict_only_where_both_have_a_mark() -> None:
    assert Version('"1"', None).contradicts(Version('"2"', None))
    assert Version('"1"', "Mon").contradicts(Version('"1"', "Tue"))
    assert not Version('"1"', None).contradicts(Version(None, "Mon"))


def test_unavailable_file_has_a_remedy() -> None:
    error = unavailable("http://a/b.tar", "no connection", "/data/b.tar")
    assert error.exit_code == 4 and error.message == "http://a/b.tar: no connection"
    assert "by hand to /data/b.tar" in str(error)
