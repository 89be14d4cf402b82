"""The views among which `distill.views: auto` chooses. No torch here."""

from collections.abc import Mapping
from types import MappingProxyType

from pipeline.tmkd.views.settings import (
    BlurView,
    EdgeView,
    FlipView,
    GreyView,
    HighFrequencyView,
    ViewSettings,
    ZoomView,
)

CANDIDATES: Mapping[str, ViewSettings] = MappingProxyType(
    {
        "edge": EdgeView(),
        "edge_weak": EdgeView(strength=0.1),
        "high_frequency": HighFrequencyView(),
        "high_frequency_weak": HighFrequencyView(strength=0.25),
        "flip": FlipView(),
        "zoom": ZoomView(),
        "zoom_weak": ZoomView(share=0.9),
        "grey": GreyView(),
        "grey_weak": GreyView(strength=0.5),
        "blur": BlurView(),
        "blur_weak": BlurView(strength=0.5),
    }
)
"""Name → view: each kind as it is by default, called as its kind, and each that has a strength once more, weaker."""

FITTED: Mapping[str, ViewSettings] = MappingProxyType({name: CANDIDATES[name] for name in ("edge", "high_frequency")})
"""What teachers are fitted on, beside the image itself, before anything is chosen.

The fewer views, the more plain images are seen; and images without colours or texture lack what classes differ in: with
them, the teacher of the quickstart fell from 68 to 56 % on plain images.
"""
