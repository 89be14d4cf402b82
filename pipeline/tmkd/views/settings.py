"""The settings of each kind of view, and the views of a recipe by name.

A new kind of view is a class here, among `ViewSettings`, and a function in a file of this folder, listed in `views.py`.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, StringConstraints, Tag

from pipeline.settings import Settings, problem


class EdgeView(Settings):
    """The image with its edges enhanced."""

    kind: Literal["edge"] = Field(default="edge", description="May be left out where the view is called edge.")
    strength: float = Field(default=0.25, ge=0, le=4, description="λ_e; 0 gives the image itself.")
    operator: Literal["sobel", "scharr", "laplacian"] = Field(default="sobel", description="The derivative.")
    mode: Literal["enhance", "replace"] = Field(default="enhance", description="replace: the bare edge map.")


class HighFrequencyView(Settings):
    """The image with its fine texture enhanced."""

    kind: Literal["high_frequency"] = Field(
        default="high_frequency", description="May be left out where the view is called high_frequency."
    )
    cutoff: float = Field(default=0.25, ge=0, le=1, description="r, as a share of the Nyquist frequency.")
    strength: float = Field(default=0.5, ge=0, le=4, description="λ_h; 0 gives the image itself.")
    filter: Literal["fft", "gaussian"] = Field(default="fft", description="fft: a sharp cut; gaussian: a soft one.")
    mode: Literal["enhance", "replace"] = Field(default="enhance", description="replace: the bare high frequencies.")


class FlipView(Settings):
    """The mirrored image."""

    kind: Literal["flip"] = Field(default="flip", description="May be left out where the view is called flip.")
    axis: Literal["horizontal", "vertical"] = Field(
        default="horizontal", description="horizontal: left and right are swapped; vertical: upside down."
    )


class ZoomView(Settings):
    """The centre of the image, enlarged."""

    kind: Literal["zoom"] = Field(default="zoom", description="May be left out where the view is called zoom.")
    share: float = Field(
        default=0.8, ge=0.1, le=1, description="Share of each side that is kept; 1 gives the image itself."
    )


class GreyView(Settings):
    """The image without its colours."""

    kind: Literal["grey"] = Field(default="grey", description="May be left out where the view is called grey.")
    strength: float = Field(
        default=1.0, ge=0, le=1, description="0 gives the image itself, 1 its brightness in all three channels."
    )


class BlurView(Settings):
    """The image with its fine texture taken away."""

    kind: Literal["blur"] = Field(default="blur", description="May be left out where the view is called blur.")
    cutoff: float = Field(
        default=0.5, ge=0, le=1, description="Where the blur halves a frequency, as a share of the Nyquist frequency."
    )
    strength: float = Field(default=1.0, ge=0, le=1, description="0 gives the image itself, 1 the blur alone.")


ViewSettings = Annotated[
    EdgeView | HighFrequencyView | FlipView | ZoomView | GreyView | BlurView, Field(discriminator="kind")
]
VIEW_CLASSES: tuple[type[Settings], ...] = get_args(get_args(ViewSettings)[0])
VIEW_KINDS: tuple[str, ...] = tuple(view.model_fields["kind"].default for view in VIEW_CLASSES)


def default_views() -> dict[str, ViewSettings]:
    """The views of a recipe that names none."""
    return {"edge": EdgeView(), "high_frequency": HighFrequencyView()}


def _fill_kinds(views: Any) -> Any:
    """Drop the views that are null, and name the kind of those that are called as their kind."""
    if not isinstance(views, dict):
        return views
    unknown = [str(name) for name, view in views.items() if view is None and name not in VIEW_KINDS]
    if unknown:
        raise problem(
            unknown[0], f"null removes a view, and none is called so; expected one of {', '.join(VIEW_KINDS)}"
        )
    return {
        name: {"kind": name, **view} if isinstance(view, dict) and name in VIEW_KINDS else view
        for name, view in views.items()
        if view is not None
    }


def _not_rgb(views: dict[str, Any]) -> dict[str, Any]:
    if "rgb" in views:
        raise problem("rgb", "expected another name: the image itself is always the view rgb")
    return views


def _branch(views: Any) -> str:
    return "auto" if isinstance(views, str) else "views by name"


ViewName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
NamedViews = Annotated[dict[ViewName, ViewSettings], BeforeValidator(_fill_kinds), AfterValidator(_not_rgb)]
"""Views by name, without rgb, the image itself; null removes a view, and a kind that is the name may be left out."""
ChosenViews = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[NamedViews, Tag("views by name")], Discriminator(_branch)
]
"""`NamedViews`, or `auto`: chosen among `candidates.CANDIDATES` by what they are worth on validation."""
