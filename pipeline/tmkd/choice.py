"""What is settled about views and weights before the student is trained, as it stands in a file. No torch here."""

from pydantic import Field

from pipeline.settings import Settings
from pipeline.tmkd.views.settings import ViewSettings


class ScoreStatistics(Settings):
    """Mean and spread of a view's score over training images."""

    mean: float
    spread: float = Field(gt=0)


class FusionChoice(Settings):
    """The views that the teacher is shown and how they are weighed, with nothing left open.

    Attributes:
        views: name → view, in addition to rgb.
        temperature: τ_w.
        statistics: view, rgb included → statistics of its score; None: scores are not standardised.
    """

    views: dict[str, ViewSettings]
    temperature: float = Field(gt=0)
    statistics: dict[str, ScoreStatistics] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The views' names, rgb first."""
        return ("rgb", *self.views)
