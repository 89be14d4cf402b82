"""The part of a manifest that a model card is made of."""

import dataclasses

from exporters.bundle.contents import BundleFacts


def about(facts: BundleFacts) -> dict:
    plain = dataclasses.asdict(facts)
    return {"name": "n: 'x'", "version": "1", "architecture": "a", "parameters": 10, "models": {}, "facts": plain}
