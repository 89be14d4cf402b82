import pytest

from pipeline.preflight import packages
from tests.pipeline.preflight.conftest import Prospect


def test_missing_packages_are_named_as_pip_does(prospect: Prospect, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not prospect.report(packages.check).errors
    monkeypatch.setitem(packages.NEEDED, "text", ("torch", "no_such_package"))
    monkeypatch.setitem(packages._DISTRIBUTIONS, "no_such_package", "no-such-package")
    (error,) = prospect.report(packages.check).errors
    assert error.message == "no-such-package is not installed, and this run needs it"
    assert not prospect.report(packages.check, stages=("data",)).errors
