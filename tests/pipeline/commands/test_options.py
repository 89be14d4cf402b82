"""Names on the command line are those of the exporters, which it does not import."""

from typing import get_args

from click.testing import CliRunner

from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.benchmark.targets import PROVIDERS
from exporters.bundle.manifest import ENGINE_SOURCES, GOLDEN_LIMITS, variant_of
from exporters.runtimes import Provider
from pipeline.cli import COMMANDS, cli
from pipeline.commands.options import MODEL_NAMES, PRECISION_NAMES, PROVIDER_NAMES
from pipeline.stages.names import STAGE_NAMES
from pipeline.stages.registry import STAGES


def test_option_names_match_those_of_the_code() -> None:
    assert tuple(GOLDEN_LIMITS) == tuple(ENGINE_SOURCES) == PRECISION_NAMES
    assert {"fp32", *VARIANT_KINDS} == {*PRECISION_NAMES, *map(variant_of, ENGINE_SOURCES.values())} == set(MODEL_NAMES)
    assert tuple(PROVIDERS) == get_args(Provider) == PROVIDER_NAMES
    assert tuple(stage.name for stage in STAGES) == STAGE_NAMES


def test_help_uses_one_name_for_each_thing() -> None:
    for name in COMMANDS:
        text = CliRunner().invoke(cli, [name, "--help"], terminal_width=100).output
        assert "--providers" not in text and "--precisions" not in text
        assert "FP32" not in text and "CPU," not in text
