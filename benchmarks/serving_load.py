"""The load of `benchmarks.serving`, by locust, in a process of its own: `python -m benchmarks.serving_load SPEC.json`.

Each of the connections sends the next image as soon as its last one was answered, half of them as forms, and compares
every answer with what was expected: to the last digit, or, where a processor rounds otherwise in a batch, to 1e-5,
which is counted apart. It goes on until the server no longer listens. Standard output: one JSON object with `done` now
and then, and the figures at the end.
"""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, constant, events, task
from locust.env import Environment
from locust.exception import StopUser

_TOLD = 50  # times
_ROUNDING = 1e-5


class Tally:
    """What came of the requests."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.images = [Path(path).read_bytes() for path in spec["images"]]
        self.expected: dict[str, list[Any]] = spec["expected"]
        self.requests: int = spec["requests"]
        self.numbers = itertools.count()
        self.milliseconds: list[float] = []
        self.versions: dict[str, int] = {}
        self.rounded = 0
        self.wrong: list[str] = []
        self.lost: list[str] = []
        self.ended = 0

    def judge(self, number: int, status: int, body: bytes, error: Exception | None) -> None:
        """Count one answer, or its absence."""
        if status == 0:
            if isinstance(error, ConnectionRefusedError):
                self.ended += 1
                raise StopUser
            self.lost.append(f"after {len(self.milliseconds)} answers: {type(error).__name__}: {error}")
            return
        answer = json.loads(body) if status == 200 else {}
        version = answer.get("model_version", "")
        expected = self.expected.get(version)
        if expected is None or not is_close(answer["predictions"], expected[number % len(self.images)]):
            self.wrong.append(f"{status} {body[:200].decode(errors='replace')}")
        elif answer["predictions"] != expected[number % len(self.images)]:
            self.rounded += 1
        self.versions[version] = self.versions.get(version, 0) + 1

    def result(self) -> dict[str, Any]:
        """All figures."""
        ordered = sorted(self.milliseconds)
        return {
            "done": len(ordered),
            "rounded": self.rounded,
            "wrong": len(self.wrong),
            "lost": len(self.lost),
            "examples": [*self.wrong[:3], *self.lost[:3]],
            "versions": self.versions,
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[int(0.99 * len(ordered))],
            "max": ordered[-1],
        }


def is_close(found: list[Any], expected: list[Any]) -> bool:
    """The same probability for each label, but for rounding."""
    told = {prediction["label"]: prediction["probability"] for prediction in found}
    return len(found) == len(expected) and all(
        abs(told.get(prediction["label"], 2.0) - prediction["probability"]) <= _ROUNDING for prediction in expected
    )


def make_user(tally: Tally, address: str) -> type[FastHttpUser]:
    """One connection."""

    class Connection(FastHttpUser):
        host = f"http://{address}"
        wait_time = constant(0)
        network_timeout = connection_timeout = 120.0

        @task
        def classify(self) -> None:
            number = next(tally.numbers)
            image = tally.images[number % len(tally.images)]
            if number % 2:
                head = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
                body, kind = head + image + b"\r\n--limit--\r\n", "multipart/form-data; boundary=limit"
            else:
                body, kind = image, "image/jpeg"
            with self.client.post("/predict", body, headers={"Content-Type": kind}, catch_response=True) as answer:
                answer.success()
                status, error = answer.status_code, getattr(answer, "error", None)
                content = answer.content if status else b""
            tally.judge(number, status, content or b"", error)

    return Connection


def main() -> None:
    """Run until the server does not listen any more."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    tally = Tally(spec)
    environment = Environment(user_classes=[make_user(tally, spec["address"])], events=events)
    step = max(1, spec["requests"] // _TOLD)

    def timed(response_time: float, exception: Exception | None, **_rest: Any) -> None:
        tally.milliseconds.append(response_time)
        if len(tally.milliseconds) % step == 0:
            print(json.dumps({"done": len(tally.milliseconds)}), flush=True)

    environment.events.request.add_listener(timed)
    runner = environment.create_local_runner()
    runner.start(spec["connections"], spawn_rate=spec["connections"])
    while tally.ended < spec["connections"]:
        gevent.sleep(0.1)
    runner.quit()
    print(json.dumps(tally.result()), flush=True)


if __name__ == "__main__":
    main()
