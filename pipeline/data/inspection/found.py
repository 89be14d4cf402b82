"""How many of a kind were found, and the first of them."""

from dataclasses import dataclass, field

from pipeline.data.path_table import printable

EXAMPLES = 10
"""So many of each kind are named."""


@dataclass(eq=False)
class Found:
    """How many of a kind, and the first of them.

    Attributes:
        count: of all.
        examples: in words, at most `EXAMPLES`.
        keys: of the images that `examples` begin with, in the data set's store.
    """

    count: int = 0
    examples: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def add(self, key: str, example: str | None = None) -> None:
        """Count an image, in words or by its name."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(printable(key) if example is None else example)
            self.keys.append(key)
