"""The metadata header of `MODEL_CARD.md`, as https://huggingface.co/docs/hub/model-cards describes it."""

from collections.abc import Mapping
from typing import Any

import yaml

from exporters.core.licences import hub_licence

TASK = "image-classification"


def front_matter(about: Mapping[str, Any]) -> str:
    """The header with its rulers, from the manifest: licence, task, and the measured accuracy as `model-index`."""
    facts, name = about["facts"], str(about["name"])
    header: dict[str, Any] = {
        **hub_licence(facts["licences"].get("weights")),
        "library_name": "onnx",
        "pipeline_tag": TASK,
        "tags": [TASK, *(["knowledge-distillation"] if facts["teacher"] else []), "onnx", "onnxruntime"],
        "model_name": name,
    }
    results = _results(facts)
    if results:
        header["metrics"] = ["accuracy"]
        header["model-index"] = [{"name": name, "results": results}]
    text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---"


def _results(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry a split: the header has accuracy alone, the card all figures."""
    name = str(facts["data"].get("name") or "not named")
    return [
        {
            "task": {"type": TASK},
            "dataset": {"name": name, "type": name, "split": split},
            "metrics": [{"type": "accuracy", "name": "top-1", "value": found["correct"] / found["images"]}],
        }
        for split, found in ordered_results(facts["results"]).items()
    ]


def ordered_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results by split in the order in which a card shows them, whatever order a manifest has them in."""
    return {split: results[split] for split in sorted(results, key=lambda split: (split != "validation", split))}
