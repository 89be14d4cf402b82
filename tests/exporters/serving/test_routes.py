import json

import numpy as np

from exporters.serving.model import LoadedBundle
from exporters.serving.security import ApiKey

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
        assert (await app.ask("GET", "/nowhere", **key))[::2] == (404, {"error": "Not Found"})
        assert (await app.ask("POST", "/predict?top=x", b"", **key))[0] == 400

    run(bundle, test, api_key=ApiKey(KEY, "key"))
