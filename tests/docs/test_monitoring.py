"""Alert rules and board ask for metrics that a server has."""

import json
import re
from typing import Any

import pytest
import yaml

from exporters.drift import STATISTICS
from exporters.serving.metrics import Metrics
from tests.docs.markdown import ROOT

RULES = ROOT / "docs" / "monitoring" / "drift-alerts.yml"
BOARD = ROOT / "docs" / "monitoring" / "drift-board.json"


def metric_names() -> set[str]:
    metrics = Metrics(max_batch=1, queue=1)
    metrics.drift_watched(True)
    return set(re.findall(r"^# TYPE (\S+)", metrics.render().decode(), re.MULTILINE))


@pytest.mark.parametrize("path", [RULES, BOARD], ids=lambda path: path.name)
def test_metrics_and_statistics_exist(path: Any) -> None:
    text = path.read_text("utf-8")
    asked = set(re.findall(r"tmkd_drift_\w+", text))
    assert len(asked) >= 2 and asked <= metric_names()
    for names in re.findall(r'statistic=~?"([^"]+)"', text):
        assert set(names.split("|")) <= set(STATISTICS)


def test_rules_have_the_form_of_prometheus_and_cover_all_statistics() -> None:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    covered: set[str] = set()
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert set(rule["annotations"]) >= {"summary"} and rule["expr"].count("(") == rule["expr"].count(")")
        covered |= {name for names in re.findall(r'statistic=~?"([^"]+)"', rule["expr"]) for name in names.split("|")}
    assert covered == set(STATISTICS)


def test_panels_of_the_board_have_ids_places_and_one_query_each() -> None:
    board = json.loads(BOARD.read_text("utf-8"))
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) and board["schemaVersion"] >= 36
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken
        taken |= cells
        assert panel["type"] in {"timeseries", "stat", "state-timeline"} and len(panel["targets"]) == 1
        assert panel["targets"][0]["expr"].count("(") == panel["targets"][0]["expr"].count(")")
    assert {variable["name"] for variable in board["templating"]["list"]} == {"datasource", "instance"}
