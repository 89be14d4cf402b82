"""`birds_demo`: a procedural, deterministic, fine-grained image set that needs no download: the project draws it.

Sixteen species of four plumage colours differ by bill, crest, tail, wing pattern and legs, many by one part only.
"""

from pipeline.data.birds_demo.cache import default_root, ensure_birds_demo
from pipeline.data.birds_demo.difficulty import TEST_PER_CLASS, TRAIN_PER_CLASS, VERSION
from pipeline.data.birds_demo.render import render_image
from pipeline.data.birds_demo.species import CLASS_NAMES, SPECIES, Species

__all__ = [
    "CLASS_NAMES",
    "SPECIES",
    "TEST_PER_CLASS",
    "TRAIN_PER_CLASS",
    "VERSION",
    "Species",
    "default_root",
    "ensure_birds_demo",
    "render_image",
]
