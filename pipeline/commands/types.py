"""Types of options: lists with commas between their parts, and shares."""

from contextlib import suppress
from typing import Any

import click


class Channels(click.ParamType):
    """Three numbers with commas between them."""

    name = "R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to a tuple of three floats."""
        try:
            red, green, blue = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"expected three numbers such as 0.485,0.456,0.406, got {value!r}", param, ctx)
        return red, green, blue


class BatchRange(click.ParamType):
    """Three whole numbers with commas between them."""

    name = "MIN,LIKELY,MAX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to a tuple of three numbers; whether they make sense together is seen where they are used."""
        try:
            smallest, likely, largest = (int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not three whole numbers such as 1,16,64", param, ctx)
        return smallest, likely, largest


class Numbers(click.ParamType):
    """Whole numbers with commas between them."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to a tuple of whole numbers; their bounds are seen where they are used."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers such as 1,4,16", param, ctx)


class Names(click.ParamType):
    """Names with commas between them, of a few that are known where there are such."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.name = ",".join(known) or "NAMES"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The names as they are typed; click would write them in capitals."""
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to a tuple of names."""
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in str(value).split(",") if part.strip())
        unknown = [name for name in names if name not in self.known]
        if self.known and (unknown or not names):
            what = repr(unknown[0]) if unknown else "nothing"
            self.fail(f"{what} is not one of {', '.join(self.known)}", param, ctx)
        return names


class Share(click.FloatRange):
    """A number from 0 to 1."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text to a number; one that looks like per cent is refused with the share that it means."""
        text = str(value).strip().removesuffix("%")
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            with suppress(ValueError):
                if 2 <= float(text) <= 100:
                    self.fail(f"{value} is not from 0 to 1; did you mean {float(text) / 100:.10g}?", param, ctx)
            raise error


def flattened(lists: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """The names of an option that may be repeated, each once."""
    return tuple(dict.fromkeys(name for names in lists for name in names))
