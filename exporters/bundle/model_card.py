"""`MODEL_CARD.md`: what a service owner needs to know, from the facts of the bundle and nothing else."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from exporters.bundle.front_matter import front_matter, ordered_results
from exporters.bundle.golden import report_of
from exporters.bundle.known import none_of_these
from exporters.bundle.manifest import GOLDEN_LIMITS, variant_of
from exporters.core.licences import NOT_STATED
from exporters.core.wording import first_of
from exporters.images.preprocessing import Preprocessing


def model_card(
    about: Mapping[str, Any], labels: list[str], preprocessing: Preprocessing, parity: Mapping[str, Any]
) -> str:
    """The card as Markdown.

    Args:
        about: the manifest without its list of files.
        labels: K class names.
        preprocessing: what the reader has to do with an image.
        parity: as `parity.json` holds it.
    """
    facts, name = about["facts"], str(about["name"])
    sections = [
        front_matter(about),
        f"# {name}\n\nAn image classifier for {len(labels)} classes: {_some(labels)}.",
        f"It was made by tmkd-pipeline {about['version']}. {facts['provenance']}".strip(),
        "## Intended use\n\n"
        f"Sorting photographs that resemble the training data into exactly these {len(labels)} classes. It always "
        f"answers with one of them, also for an image that shows none{_told_apart(about)}. It was not made for"
        " decisions about people.",
        "## Data\n\n" + _table(facts["data"]),
        "## Accuracy\n\n" + _table(facts["metrics"]),
        "## Accuracy of each class\n\n" + _classes(ordered_results(facts["results"]), labels),
        *_calibration(about),
        "## Model\n\n" + _table(_model_facts(about)),
        "## Preprocessing\n\n" + _preprocessing(preprocessing),
        "## How to run it\n\n" + _example(preprocessing),
        *none_of_these(about),
        *_where_it_looks(about, parity),
        "## Equal to the trained student\n\n"
        + _parity(parity, about["models"])
        + "\n\n"
        + _tolerances(parity, _run_by_verify(about)),
        "## Limits\n\n"
        "Accuracy was measured on the splits named above; on images from other cameras, places or seasons expect less. "
        + (
            "The probabilities are a softmax of the logits and were not calibrated."
            if "calibration" not in about
            else "There, the calibrated probabilities are too high as well."
        ),
        "## Teacher (provenance only, nothing of it is inside)\n\n" + _table(facts["teacher"]),
        "## How to reproduce\n\n" + _reproduction(facts),
        "## Licences\n\n"
        + _table(facts["licences"])
        + f"\n\nSPDX identifiers. What is {NOT_STATED} is not known here: find out before you rely on it.",
    ]
    return "\n\n".join(sections) + "\n"


def _told_apart(about: Mapping[str, Any]) -> str:
    """That many such images can be told apart, where they can."""
    return ", which its score often tells (see None of these)" if "known" in about else ""


def _classes(results: Mapping[str, Any], labels: list[str]) -> str:
    """A row for each class: its accuracy in each split, and of how many images."""
    if not results:
        return f"{NOT_STATED[0].upper()}{NOT_STATED[1:]}."
    rows = [f"| class | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
    for label in labels:
        found = (split["per_class"][label] for split in results.values())
        rows.append(f"| {_cell(label)} | {' | '.join(_share(entry) for entry in found)} |")
    return "\n".join(rows)


def _share(entry: Mapping[str, int]) -> str:
    correct, images = entry["correct"], entry["images"]
    return f"{_number(correct / images)} ({correct} of {images})" if images else "no images"


def _reproduction(facts: Mapping[str, Any]) -> str:
    command = facts["command"]
    made = f"```bash\n{command}\n```\n\n" if command else ""
    made += (
        "With the recipe and the data of these digests, and these versions."
        if facts["recipe_sha256"]
        else "From the same checkpoint, with these versions: `tmkd-pipeline export … --bundle`."
    )
    return (
        f"{made} `tmkd-pipeline verify` proves that"
        " the bundle is complete and undamaged; with `--data` and the images, that its accuracy is as stated.\n\n"
        + _table(
            {
                "recipe sha256": facts["recipe_sha256"] or None,
                "data fingerprint": facts["data_fingerprint"] or None,
                **{
                    f"{split} images sha256": found["sha256"]
                    for split, found in ordered_results(facts["results"]).items()
                },
                **facts["versions"],
            }
        )
    )


def _some(labels: list[str]) -> str:
    return first_of(labels, 20) + (" (labels.json has all)" if len(labels) > 20 else "")


def _model_facts(about: Mapping[str, Any]) -> dict[str, Any]:
    rows: dict[str, Any] = {"architecture": about["architecture"], "parameters": f"{about['parameters']:,}"}
    for file, entry in about["models"].items():
        rows[file] = f"opset {entry['opset']}, {entry['size']:,} bytes"
    for file, entry in about.get("engines", {}).items():
        rows[file] = f"{entry['library']['name']} {entry['library']['version']}, built and run on {entry['gpu']}"
    for file, entry in about.get("openvino", {}).items():
        rows[file] = f"OpenVINO IR of {entry['precision']} by OpenVINO {entry['version']}"
    return rows


def _preprocessing(preprocessing: Preprocessing) -> str:
    return (
        f"Decode to RGB (upright by EXIF, transparency over white), resize the shorter side to {preprocessing.resize} "
        f"pixels ({preprocessing.interpolation}, antialiased as Pillow does), crop the central {preprocessing.size} x "
        f"{preprocessing.size}, and pass the uint8 values `[batch, {preprocessing.size}, {preprocessing.size}, 3]` as "
        "they are: normalisation is inside the graph. `preprocess.json` says the same for programs."
    )


def _example(preprocessing: Preprocessing) -> str:
    size, resize = preprocessing.size, preprocessing.resize
    return f"""For images of 8 bits a channel; 16 bits are scaled to 8 first.

```python
import json, numpy, onnxruntime
from PIL import Image, ImageOps

photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGBA")
image = Image.new("RGB", photo.size, "white")
image.paste(photo, mask=photo)  # transparency over white
width, height = (int({resize} * side / min(image.size)) for side in image.size)
for shape in ((width, image.height), (width, height)):  # in this order, whatever Pillow's version prefers
    image = image.resize(shape, Image.Resampling.{preprocessing.interpolation.upper()})
left, top = round((width - {size}) / 2), round((height - {size}) / 2)
batch = numpy.asarray(image.crop((left, top, left + {size}, top + {size})))[None]
logits = onnxruntime.InferenceSession("model.onnx").run(["logits"], {{"image": batch}})[0]
print(json.load(open("labels.json", encoding="utf-8"))[logits[0].argmax()])
```"""


def _calibration(about: Mapping[str, Any]) -> Iterator[str]:
    """A section about the temperature of the probabilities, where the bundle has one."""
    calibration = about.get("calibration")
    if calibration is None:
        return
    text = (
        "## Calibrated probabilities\n\n"
        f"Probabilities are `softmax(logits / {calibration['temperature']!r})`, in every precision. The temperature"
        " (Guo et al. 2017, equation 9) changes no answer: the logits of the models are the student's own, and whoever"
        " runs a model without this project's client or server divides them by it first."
    )
    if calibration["splits"]:
        head = (
            "| split | images | NLL at temperature 1 | NLL calibrated | ECE at temperature 1 | ECE calibrated |\n"
            "|---|---|---|---|---|---|\n"
        )
        keys = ("nll_before", "nll_after", "ece_before", "ece_after")
        rows = [
            f"| {split} | {found['images']} | {' | '.join(_number(found[key]) for key in keys)} |"
            for split, found in ordered_results(calibration["splits"]).items()
        ]
        text += (
            f"\n\n{head}" + "\n".join(rows) + "\n\nNLL: mean negative log-likelihood, nats. ECE: expected calibration"
            " error over 15 bins, 0 to 1. Of the student; the files agree with it as stated below."
        )
    yield text


def _where_it_looks(about: Mapping[str, Any], parity: Mapping[str, Any]) -> Iterator[str]:
    """A section about the class activation maps, where the models give them."""
    cam = about.get("cam")
    if cam is None:
        return
    rows = [
        f"| {file} | {_number(report_of(parity, file)['cam']['whole']['max_scaled_error'])}"
        f" | {_number(entry['cam_tolerance'])} |"
        for file, entry in _run_by_verify(about).items()
    ]
    yield (
        "## Where it looks\n\n"
        f"The output `cam`, float32 `[batch, {cam['height']}, {cam['width']}]`, is the class activation map of the most"
        " likely class (Zhou et al. 2016, equation 2) over the square that the model sees. Its mean plus the class's"
        " bias is the largest logit, so that high values speak for the class and negative ones against it.\n\n"
        "| file | largest error / maps' scale | accepted by `verify` |\n|---|---|---|\n" + "\n".join(rows)
    )


def _parity(parity: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    engines, rows = parity.get("engines", {}), []
    named = {variant_of(file): parity.get(variant_of(file), {}) for file in models}
    named |= {f"{precision} engine": report for precision, report in engines.items()}
    named |= {f"{precision} OpenVINO": report for precision, report in parity.get("openvino", {}).items()}
    for name, report in named.items():
        whole = report.get("whole")
        if whole is None or report.get("status", "shipped") != "shipped":
            continue
        rows.append(
            f"| {name} | {whole['images']} | {whole['top1_agreement']:.5f} | {_number(whole['max_scaled_error'])} "
            f"| {_number(whole['accuracy_drop'])} |"
        )
    head = "| | images | same top-1 class | largest error / logits' scale | accuracy lost |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def _run_by_verify(about: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest's entries of all files that are run on the golden images."""
    return {**about["models"], **about.get("openvino", {})}


def _tolerances(parity: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """What `verify` accepts of each file, beside the gate that it follows from and the most that any bundle may ask."""
    rows = [
        "`tmkd-pipeline verify` runs each file on the golden images; largest error / logits' scale that it accepts:",
        "",
        "| file | accepted | the gate's bound | most in any bundle |",
        "|---|---|---|---|",
    ]
    for file, entry in models.items():
        bound = report_of(parity, file)["gate"]["max_scaled_error"]
        shown = "none: twice what was measured" if bound is None else _number(bound)
        limit = GOLDEN_LIMITS[entry["precision"]]
        rows.append(f"| {file} | {_number(entry['golden_tolerance'])} | {shown} | {_number(limit)} |")
    return "\n".join(rows)


def _table(rows: Mapping[str, Any]) -> str:
    if not rows:
        return f"{NOT_STATED[0].upper()}{NOT_STATED[1:]}."
    lines = [f"| {_cell(key)} | {_cell(value)} |" for key, value in _flat(rows)]
    return "\n".join(["| | |", "|---|---|", *lines])


def _flat(rows: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Mappings within mappings as rows of their own, `visual test fused`."""
    for key, value in rows.items():
        if isinstance(value, Mapping):
            yield from ((f"{key} {inner}", found) for inner, found in _flat(value))
        else:
            yield key, value


def _cell(value: Any) -> str:
    if value is None:
        return NOT_STATED
    if isinstance(value, float):
        return _number(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _number(value: float | None) -> str:
    return NOT_STATED if value is None else f"{value:.4g}"
