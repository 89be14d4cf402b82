"""What a recipe sets, as against its defaults."""

import json
from typing import Any

from pipeline.settings import Settings


def recipe_rows(settings: Settings, prefix: str = "") -> list[list[str]]:
    """Every key that is not at its default, with its value and the default.

    Args:
        settings: a recipe, or a section of one.
        prefix: of the keys.
    """
    rows = []
    for name, info in type(settings).model_fields.items():
        key, value = f"{prefix}{info.alias or name}", getattr(settings, name)
        if isinstance(value, Settings):
            rows += recipe_rows(value, f"{key}.")
        elif isinstance(value, dict) and value and all(isinstance(each, Settings) for each in value.values()):
            for under, each in value.items():
                rows += recipe_rows(each, f"{key}.{under}.")
        elif info.is_required() or value != (default := info.get_default(call_default_factory=True, validated_data={})):
            rows.append([key, _value(value), "" if info.is_required() else _value(default)])
    return rows


def _value(value: Any) -> str:
    """As a recipe has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
