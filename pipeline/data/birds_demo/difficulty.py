"""What makes `birds_demo` easy or hard, in one place. A changed value changes the images: raise `VERSION` too."""

from dataclasses import dataclass

VERSION = 1
SEED = 2603
TRAIN_PER_CLASS = 120
TEST_PER_CLASS = 40
IMAGE_SIZE = 64

Range = tuple[float, float]


@dataclass(frozen=True)
class Difficulty:
    """Ranges of the nuisances; every value is drawn uniformly and for each image on its own."""

    scale: Range = (0.38, 0.60)  # body length as a share of the image's side
    largest: float = 1.0  # the whole bird, bill to tail, takes at most this share of the side
    position: float = 0.09  # shift of the bird's centre, share of the side
    rotation: float = 20.0  # degrees, both ways
    foreshortening: Range = (0.86, 1.06)  # body length against its height
    part_motion: float = 1.0  # how far head, tail and wing move; 0 = one stiff pose
    hue: float = 0.06  # plumage hue, share of the circle, both ways
    saturation: Range = (0.35, 1.15)
    value: Range = (0.72, 1.22)
    mark_contrast: Range = (0.25, 0.9)  # of stripes, spots and bars against the wing
    clutter: float = 1.15  # number of stones, leaves and blades behind the bird, relative
    twins_in_clutter: float = 0.5  # chance that stones and leaves carry stripes or spots of their own
    occluders: tuple[int, int] = (0, 5)  # twigs, blades and leaves in front of the bird, from and to
    exposure: Range = (0.8, 1.35)
    light_gradient: float = 0.35
    shadow: float = 0.35  # depth of dappled shade
    grain: float = 6.0  # standard deviation of the sensor's noise, of 255


DIFFICULTY = Difficulty()
