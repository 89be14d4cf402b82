import tomllib
from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from exporters.core.licences import CODE_LICENCE, check_licence, check_licences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0"),
        ("mit or Apache-2.0", "MIT OR Apache-2.0"),
        ("LicenseRef-my-own", "LicenseRef-my-own"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
    ],
)
def test_known_licences_get_their_spdx_spelling(text: str, expected: str) -> None:
    assert check_licence(text) == expected


@pytest.mark.parametrize(
    "text", ["", " ", "free", "GPL", "NONE", "unknown", "not stated", "MIT OR", "CC BY 4.0", "MIT\n\nx"]
)
def test_unknown_licences_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an SPDX identifier"):
        check_licence(text)


def test_unstated_licence_stays_unstated() -> None:
    assert check_licences({"weights": "mit", "data": None}) == {"weights": "MIT", "data": None}


def test_the_code_has_the_licence_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text())["project"]
    assert project["license"] == CODE_LICENCE
