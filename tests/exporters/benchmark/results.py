"""A benchmark that was never run: two numbers of threads, three runtimes, round figures."""

from typing import Any


def _figures(batch: int, p50: float, torch: float | None, fp32: float | None, memory: int | None) -> dict[str, Any]:
    def ratio(value: float | None) -> dict[str, float] | None:
        return None if value is None else {"ratio": value, "low": value - 0.1, "high": value + 0.15}

    return {
        "batch": batch,
        "p50_ms": p50,
        "p95_ms": 1.5 * p50,
        "p99_ms": 2 * p50,
        "images_per_second": 1000 * batch / p50,
        "calls": 400,
        "rounds": 20,
        "round_p50_ms": [p50] * 20,
        "resident_bytes": memory,
        "times_as_fast_as": {"torch": ratio(torch), "fp32": ratio(fp32)},
    }


def made_up() -> dict[str, Any]:
    results = []
    for threads in (1, 2):
        for kind, variant, size, p50, torch, fp32 in (
            ("torch", "fp32", 9_200_000, 8.0, None, None),
            ("onnxruntime", "fp32", 9_100_000, 2.5, 3.2, None),
            ("onnxruntime", "int8", 2_600_000, 1.25, 6.4, 2.0),
        ):
            results.append(
                {
                    "runtime": f"{kind}-cpu",
                    "model": None
                    if kind == "torch"
                    else "model.onnx"
                    if variant == "fp32"
                    else f"model.{variant}.onnx",
                    "variant": variant,
                    "precision": variant,
                    "bytes": size,
                    "accuracy": 0.9125 if variant == "fp32" else 0.9075,
                    "agreement": None if kind == "torch" else 1.0 if variant == "fp32" else 0.985,
                    "threads": threads,
                    "batches": [
                        _figures(batch, p50 * batch / threads, torch, fp32, None if kind == "torch" else 64_000_000)
                        for batch in (1, 16)
                    ],
                }
            )
    return {
        "format": "tmkd-benchmark/1",
        "student": {"name": "finches", "version": "0.1.0", "architecture": "cifar:resnet8", "parameters": 77_000},
        "image": [32, 48, 3],
        "machine": {
            "system": "Linux x86_64",
            "processor": "Quick 9000",
            "cores": 2,
            "gpus": [],
            "python": "3.11.7",
            "libraries": {"onnxruntime": "1.20.0", "numpy": "2.0.0"},
        },
        "settings": {"batches": [1, 16, 64], "threads": [1, 2], "seconds": 1.0, "providers": ["cpu"]},
        "notes": [
            "batch 64 and larger with 1 thread was left out: it would take about 9.0 GB more, and 1.0 GB are left"
        ],
        "results": results,
    }
