"""The section `bundle` of a recipe."""

from pydantic import Field

from pipeline.settings import Licence, Settings


class BundleSettings(Settings):
    """What the bundle says of itself."""

    licence: Licence | None = Field(
        default=None, description="Licence of the shipped weights, as an SPDX identifier; null: not stated."
    )
    drift: bool = Field(
        default=True,
        description="Pack histograms of validation images and of the answers to them, which `serve` compares with.",
    )
