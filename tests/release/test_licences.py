"""The licences of what users install."""

import pytest

from release.licences import LOOKED_AT, allowed, mistakes, shipped, stated


def row(
    expression: str = "UNKNOWN", classifier: str = "UNKNOWN", metadata: str = "UNKNOWN", name: str = "x"
) -> dict[str, str]:
    return {
        "Name": name, "Version": "1.0",
        "License-Expression": expression, "License-Classifier": classifier, "License-Metadata": metadata,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row("MIT"), "MIT"),
        (row(classifier="BSD License"), "BSD-3-Clause"),
        (row(classifier="Apache Software License; MIT License"), "Apache-2.0 AND MIT"),
        (row(classifier="DFSG approved; MIT License"), "MIT"),
        (row(metadata="3-Clause BSD License"), "BSD-3-Clause"),
        (row(metadata="CC0-1.0 OR Apache-2.0"), "(CC0-1.0 OR Apache-2.0)"),
        (row("GPL-3.0-only", "MIT License"), "GPL-3.0-only"),
        (row(classifier="Some License of Ours", metadata="mit"), "MIT"),
        (row(), None),
        (row(metadata="see the file"), None),
    ],
)
def test_licence_is_read_as_spdx_has_it(given: dict[str, str], expected: str | None) -> None:
    assert stated(given) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True), ("GPL-3.0-only", False), ("AGPL-3.0-or-later", False), ("LGPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True), ("MIT AND GPL-3.0-only", False),
        ("(GPL-2.0-only OR Apache-2.0) AND MIT", True), ("(GPL-2.0-only OR LGPL-2.1-only) AND MIT", False),
        ("Apache-2.0 WITH LLVM-exception", True), ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", True),
    ],
)  # fmt: skip
def test_licence_is_allowed_where_a_user_can_meet_it(expression: str, expected: bool) -> None:
    assert allowed(expression) is expected


def test_what_is_not_allowed_or_not_stated_is_told() -> None:
    assert mistakes([row("MIT"), row("GPL-3.0-only", name="Copy_Left"), row(name="silent")]) == [
        "copy-left 1.0: GPL-3.0-only is not allowed",
        "silent 1.0: states no licence that can be read; look, and add it to LOOKED_AT",
    ]
    assert mistakes([row("LicenseRef-NVIDIA-Proprietary", name="nvidia-cublas")]) == []


def test_what_users_install_is_followed_through_extras_and_what_they_require() -> None:
    base, serve, everything = shipped([]), shipped(["serve"]), shipped()
    assert {"click", "numpy", "pydantic-core"} <= base and not {"torch", "onnxruntime", "fastapi"} & base
    assert {"fastapi", "starlette", "onnxruntime"} <= serve and "torch" not in serve
    assert {"torch", "timm", "optuna", "huggingface-hub"} <= everything
    assert not {"pytest", "ruff", "hypothesis", "tmkd-pipeline"} & everything


def test_packages_that_were_looked_at_are_users_packages() -> None:
    assert set(LOOKED_AT) <= shipped()
