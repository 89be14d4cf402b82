"""Audits of spoilt files recompute the student's graph each time; here it is computed once."""

from collections.abc import Iterator

import pytest

pytest.importorskip("torch")

from tests.exporters.graphs import converting_once


@pytest.fixture(scope="module", autouse=True)
def _graphs() -> Iterator[None]:
    with converting_once():
        yield
