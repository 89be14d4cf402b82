from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from exporters.serving.metrics import Metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[Any]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, frozenset(labels.items())]


def test_requests_batches_and_queue_are_counted() -> None:
    metrics = Metrics(max_batch=6, queue=9)
    metrics.request("POST", "/predict", 200, 0.5)
    metrics.request("POST", "/predict", 503, 0.001)
    metrics.batch(3, 0.25)
    metrics.queue(4)
    assert value(metrics, "tmkd_requests_total", method="POST", route="/predict", status="503") == 1
    assert value(metrics, "tmkd_request_seconds_sum", route="/predict") == 0.501
    assert value(metrics, "tmkd_batch_images_bucket", le="2.0") == 0
    assert (
        value(metrics, "tmkd_batch_images_bucket", le="4.0")
        == value(metrics, "tmkd_batch_images_bucket", le="6.0")
        == 1
    )
    assert value(metrics, "tmkd_batch_seconds_sum") == 0.25
    assert (value(metrics, "tmkd_queue_images"), value(metrics, "tmkd_queue_capacity_images")) == (4, 9)


def test_a_refused_reload_is_counted_and_no_model_is_named() -> None:
    metrics = Metrics(max_batch=1, queue=1)
    metrics.bundle(None)
    assert value(metrics, "tmkd_reloads_total", result="refused") == 1
    assert not any(name == "tmkd_model" for name, _labels in samples(metrics))


def test_connections_and_refusals_are_counted() -> None:
    metrics = Metrics(max_batch=1, queue=1)
    metrics.connections(7)
    for status in (503, 503, 0):
        metrics.refusal(status)
    assert value(metrics, "tmkd_connections") == 7
    assert value(metrics, "tmkd_connections_refused_total", status="503") == 2
    assert value(metrics, "tmkd_connections_refused_total", status="none") == 1
