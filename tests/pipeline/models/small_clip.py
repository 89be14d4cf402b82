"""A CLIP of two small transformers, for tests that need a real model but not an accurate one."""

import json
from pathlib import Path

from pipeline.models.clip import Clip, build_clip

DESCRIPTION = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "patch_size": 4, "width": 32, "head_width": 16, "layers": 1},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def write_description(folder: Path) -> Path:
    path = folder / "tmkd_test_clip.json"
    path.write_text(json.dumps(DESCRIPTION))
    return path


def small_clip(folder: Path, seed: int = 0) -> Clip:
    return build_clip(str(write_description(folder)), seed)
