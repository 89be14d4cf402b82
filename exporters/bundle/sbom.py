"""`sbom.cdx.json`: what the student is made of, as CycloneDX 1.7 (ECMA-424).

The frame is written by CycloneDX's own library. It has no classes for `modelCard` and `data` of a component, so that
these are put in by the names of the standard's JSON schema. Serial number and order follow from the content alone.
"""

import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporters.core.errors import UnavailableError
from exporters.core.files import dump_json
from exporters.core.licences import NOT_STATED

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

_STUDENT, _DATA = "student", "data"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/schema/bom-1.7.schema.json#tmkd-bundle")


def sbom(about: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], size: int) -> bytes:
    """The bill of materials of a bundle.

    The student is the main component, with a file component for each model file and engine. The data and the libraries
    that made it are components with the scope `excluded`: none of them is inside.

    Args:
        about: the manifest without its list of files.
        files: by name, the manifest's entry of each model file and engine.
        size: side of the input.

    Raises:
        UnavailableError: CycloneDX's library is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom, BomMetaData
        from cyclonedx.output import make_outputter
        from cyclonedx.schema import OutputFormat, SchemaVersion
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "the bill of materials needs the package cyclonedx-python-lib",
            remedy="Install the extra that trains: pip install 'tmkd-pipeline[cpu]' or [gpu].",
        ) from error
    student, data = _student(about, files), _data(about)
    libraries = [_library(name, version) for name, version in sorted(about["facts"]["versions"].items())]
    bom = Bom(components=[data, *libraries], serial_number=uuid.UUID(int=0), metadata=BomMetaData(component=student))
    bom.metadata.timestamp = None  # type: ignore[assignment]  # optional in CycloneDX; the same bytes at any time
    bom.register_dependency(student, [data, *libraries])
    document = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_7).output_as_string())
    document["metadata"]["component"]["modelCard"] = _model_card(about, size)
    next(found for found in document["components"] if found["bom-ref"] == _DATA)["data"] = [_dataset(about)]
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_NAMESPACE, dump_json(document))}"
    return dump_json(document).encode()


def _student(about: Mapping[str, Any], files: Mapping[str, Any]) -> "Component":
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.component import Component, ComponentType

    def file(name: str) -> Component:
        return Component(
            type=ComponentType.FILE,
            name=name,
            bom_ref=f"file:{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=files[name]["sha256"])],
        )

    main, recipe = files["model.onnx"]["sha256"], about["facts"]["recipe_sha256"]
    licence = about["facts"]["licences"].get("weights")
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=about["name"],
        version=main[:12],
        bom_ref=_STUDENT,
        description=f"An image classifier for {about['classes']} classes, {about['architecture']}.",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=main)],
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        components=[file(name) for name in sorted(files)],
        properties=[
            Property(name="tmkd:parameters", value=str(about["parameters"])),
            *([Property(name="tmkd:recipe-sha256", value=recipe)] if recipe else []),
        ],
    )


def _data(about: Mapping[str, Any]) -> "Component":
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentScope, ComponentType

    facts = about["facts"]
    licence = facts["licences"].get("data")
    return Component(
        type=ComponentType.DATA,
        name=_data_name(facts),
        version=facts["data_fingerprint"][:12] or None,
        bom_ref=_DATA,
        scope=ComponentScope.EXCLUDED,
        description="The images that the student was trained and measured on; only the golden ones are inside.",
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
    )


def _library(name: str, version: str) -> "Component":
    from cyclonedx.model.component import Component, ComponentScope, ComponentType
    from packageurl import PackageURL

    purl = PackageURL("pypi", None, name, version)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=purl.to_string(),
        scope=ComponentScope.EXCLUDED,
        purl=purl,
    )


def _data_name(facts: Mapping[str, Any]) -> str:
    return str(facts["data"].get("name") or "not named")


def _dataset(about: Mapping[str, Any]) -> dict[str, Any]:
    facts = about["facts"]
    dataset = {"fingerprint": facts["data_fingerprint"] or NOT_STATED, **facts["data"]}
    properties = [
        {"name": f"tmkd:{key}", "value": str(value)} for key, value in sorted(dataset.items()) if key != "name"
    ]
    return {"type": "dataset", "name": _data_name(facts), "contents": {"properties": properties}}


def _model_card(about: Mapping[str, Any], size: int) -> dict[str, Any]:
    """CycloneDX's `modelCard`; `MODEL_CARD.md` says the same for people, and more."""
    facts = about["facts"]
    metrics = [
        {"type": "accuracy", "value": f"{found['correct'] / found['images']:.6g}", "slice": split}
        for split, found in facts["results"].items()
    ]
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "image classification",
            "modelArchitecture": about["architecture"],
            "datasets": [{"ref": _DATA}],
            "inputs": [{"format": f"image: uint8 [batch, {size}, {size}, 3], RGB"}],
            "outputs": [{"format": f"logits: float32 [batch, {about['classes']}]"}],
        },
        **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}),
        "considerations": {
            "useCases": [f"Sorting photographs like those of the data into {about['classes']} classes."],
            "technicalLimitations": [
                "It always answers with one of its classes, also for an image that shows none.",
                "Its probabilities were not calibrated.",
            ],
        },
    }
