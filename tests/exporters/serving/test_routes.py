import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from exporters.serving.model import LoadedBundle, load_bundle
from exporters.serving.security import ApiKey
from tests.exporters.conftest import Exported

from .app import App, run
from .conftest import KEY


def test_inference_and_administration_routes_answer(bundle: LoadedBundle) -> None:
    image = np.zeros((2, 32, 32, 3), np.uint8)
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(image.shape), "data": image.tolist()}

    async def test(app: App) -> None:
        key = {"x_api_key": KEY}
        asked = json.dumps({"inputs": [tensor]}).encode()
        assert (await app.ask("POST", "/v2/models/finches/infer", asked))[0] == 401
        status, _, answer = await app.ask("POST", "/v2/models/finches/infer", asked, **key)
        assert (status, answer["outputs"][0]["shape"]) == (200, [2, 7])
        status, _, answer = await app.ask("POST", "/v2/models/finches/infer", b"", **key)
        assert (status, list(answer)) == (400, ["error"])
        assert (await app.ask("GET", "/v2/models/finches/versions/1", **key))[0] == 404
        assert (await app.ask("GET", "/v2/models/finches", **key))[2]["name"] == "finches"
        assert "model_repository" in (await app.ask("GET", "/v2", **key))[2]["extensions"]
        assert len((await app.ask("POST", "/v2/repository/index", **key))[2]) == 1
        assert (await app.ask("POST", "/v2/repository/models/gulls/load", **key))[0] == 404
        status, _, answer = await app.ask("POST", "/v2/repository/models/finches/load", **key)
        assert (status, "old bundle stays" in answer["error"]) == (409, True)  # there is none where it should lie
        status, _, answer = await app.ask("GET", "/nowhere", **key)
        assert (status, "GET / lists" in answer["error"]) == (404, True)
        status, _, answer = await app.ask("GET", "/predict", **key)
        assert (status, "does not answer GET" in answer["error"]) == (405, True)
        status, _, answer = await app.ask("POST", "/predict?top=x", b"", **key)
        assert (status, answer["error"]) == (400, "query.top: expected an integer, got 'x'")

    run(bundle, test, api_key=ApiKey(KEY, "key"))


def test_address_alone_lists_what_is_there(bundle: LoadedBundle) -> None:
    async def test(app: App) -> None:
        status, _, answer = await app.ask("GET", "/")
        assert (status, answer["model_name"], answer["description"]) == (200, "finches", "/openapi.json")
        routes = answer["routes"]
        assert {"GET /", "POST /predict", "GET /v2", "GET /metrics", "POST /v2/models/{name}/infer"} <= set(routes)
        assert all(routes.values())
        assert (await app.ask("GET", answer["description"]))[2]["paths"].keys() == {
            route.split(" ")[1] for route in routes
        }

    run(bundle, test)
    run(bundle, _is_guarded, api_key=ApiKey(KEY, "key"))


async def _is_guarded(app: App) -> None:
    assert (await app.ask("GET", "/"))[0] == 401
    assert "POST /v2/repository/index" in (await app.ask("GET", "/", x_api_key=KEY))[2]["routes"]


def test_answer_says_known_where_the_bundle_tells(
    bundle: LoadedBundle, packed_with_known: Path, cifar: Exported
) -> None:
    """As the client does; other bundles' answers have no such key."""
    telling = load_bundle(packed_with_known, "fp32", "cpu")

    async def told(app: App) -> None:
        known = []
        for image in cifar.images:
            encoded = io.BytesIO()
            Image.fromarray(image).save(encoded, "PNG")
            status, _, answer = await app.ask("POST", "/predict", encoded.getvalue())
            assert status == 200 and answer["known"] is telling.student.answer(encoded.getvalue()).known
            known.append(answer["known"])
        assert {*known} == {True, False}

    async def silent(app: App) -> None:
        encoded = io.BytesIO()
        Image.fromarray(cifar.images[0]).save(encoded, "PNG")
        status, _, answer = await app.ask("POST", "/predict", encoded.getvalue())
        assert status == 200 and sorted(answer) == ["model_name", "model_version", "predictions"]

    run(telling, told, decoders=0)
    run(bundle, silent, decoders=0)
