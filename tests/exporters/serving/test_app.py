"""The application without a server: situations that a client cannot provoke at will."""

from exporters.serving.model import LoadedBundle

from .app import App, run
from .conftest import photo


def test_stopping_server_is_not_ready_but_still_answers(bundle: LoadedBundle) -> None:
    async def test(app: App) -> None:
        assert (await app.ask("GET", "/v2/health/ready"))[:1] == (200,)
        app.service.draining = True
        for path, details in (("/v2/health/ready", {}), ("/v2/models/finches/ready", {"name": "finches"})):
            assert (await app.ask("GET", path))[::2] == (503, {"ready": False, **details})
        assert (await app.ask("GET", "/v2/health/live"))[::2] == (200, {"live": True})
        status, headers, answer = await app.ask("POST", "/predict?top=1", photo())
        assert (status, headers["connection"], len(answer["predictions"])) == (200, "close", 1)

    run(bundle, test)
