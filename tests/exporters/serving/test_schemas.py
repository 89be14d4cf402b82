"""What the OpenAPI description promises, tried by schemathesis on the running server."""

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from .conftest import KEY, Server

NO_ACTION = "^/v2/repository/models/"  # loads the bundle each time; tested with the server
BEYOND_JSON_SCHEMA = ("/predict", "/infer")  # that bytes are an image, and data fit a shape


@pytest.fixture(scope="module")
def described(server: Server) -> Any:
    """The description, with the only name and version that exist, so that more than 404 is tried."""
    raw = server.ask("GET", "/openapi.json").json
    name = "finches"
    version = server.ask("GET", f"/v2/models/{name}").json["versions"][0]
    for operations in raw["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] in ("name", "version"):
                    parameter["schema"] = {"enum": [{"name": name, "version": version}[parameter["name"]]]}
    schema = schemathesis.openapi.from_dict(raw)
    schema.config.update(base_url=f"http://{server.address}")
    return schema.exclude(path_regex=NO_ACTION)


def try_operation(operation: Any, mode: GenerationMode) -> None:
    left_out = [positive_data_acceptance] if operation.path.endswith(BEYOND_JSON_SCHEMA) else []

    @settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {KEY}"}, excluded_checks=left_out)

    answers()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_answers_match_the_openapi_description(described: Any, mode: GenerationMode) -> None:
    tried = []
    for found in described.get_all_operations():
        operation = found.ok()
        try:
            try_operation(operation, mode)
        except Unsatisfiable:  # nothing about it can be wrong
            assert mode is GenerationMode.NEGATIVE, operation.path
        else:
            tried.append(operation.path)
    assert {"/predict", "/v2/models/{name}/infer"} <= set(tried)


def test_description_covers_security_and_errors(server: Server) -> None:
    description = server.ask("GET", "/openapi.json").json
    assert json.dumps(description).count("HTTPValidationError") == 0
    assert set(description["components"]["securitySchemes"]) == {"bearer", "header"}
    for path, operations in description["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) is (not path.startswith("/v2/health"))
            for status, answer in operation["responses"].items():
                assert status == "200" or answer["content"]["application/json"]["schema"]
