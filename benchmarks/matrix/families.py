"""A network of every family, small ones, from their code to a proved fp32 file; weights are random.

    python -m benchmarks.matrix.families                       all that have no result yet, and the table of all
    python -m benchmarks.matrix.families --only timm:levit_128s   again

Each is exported at the recipe's default opset, audited and compared by what a run does before it trains
(`exporters.artifacts.rehearsal`). Exit code 3 where a network does not go that is expected to, or the other way round.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.matrix.networks import Network
from benchmarks.matrix.pictures import CLASSES
from exporters.core.errors import TmkdError
from exporters.core.files import write_json, write_text

OPSET = 20
_PLAIN = [
    "timm:mobileone_s1",
    "timm:convmixer_768_32",
    "timm:convnext_zepto_rms",
    "timm:cpubone_nano",
    "timm:crossvit_tiny_240",
    "timm:csatv2",
    "timm:cs3darknet_focus_s",
    "timm:cspnext_tiny",
    "timm:davit_tiny",
    "timm:densenet121",
    "timm:dla46x_c",
    "timm:dpn48b",
    "timm:edgenext_xx_small",
    "timm:efficientvim_m1",
    "timm:efficientvit_b0",
    "timm:efficientvit_m0",
    "timm:vit_tiny_patch16_dinov3_qkvb",
    "timm:fasternet_t0",
    "timm:fastvit_t8",
    "timm:focalnet_tiny_srf",
    "timm:ghostnet_050",
    "timm:hardcorenas_b",
    "timm:hgnetv2_b0",
    "timm:sam2_hiera_tiny",
    "timm:hrnet_w18_small",
    "timm:iformer_t",
    "timm:inception_next_atto",
    "timm:lcnetv2_small",
    "timm:lowformer_b0",
    "timm:mambaout_femto",
    "timm:poolformerv2_s12",
    "timm:lcnet_035",
    "timm:mobilevit_xxs",
    "timm:mvitv2_tiny",
    "timm:nextvit_small",
    "timm:nf_regnet_b0",
    "timm:pvt_v2_b0",
    "timm:rdnet_tiny",
    "timm:regnetx_002",
    "timm:repghostnet_050",
    "timm:repvit_m1",
    "timm:res2next50",
    "timm:resnest14d",
    "timm:resnet10t",
    "timm:resnetv2_18",
    "timm:rexnet_100",
    "timm:selecsls42",
    "timm:legacy_seresnet18",
    "torchvision:densenet121",
    "torchvision:efficientnet_b0",
    "torchvision:googlenet",
    "torchvision:mnasnet0_5",
    "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_small",
    "torchvision:regnet_y_400mf",
    "torchvision:resnet18",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:squeezenet1_1",
    "torchvision:swin_t",
]
_TAKE_THE_SIZE = [
    "timm:cait_xxs24_224",
    "timm:coat_tiny",
    "timm:convit_tiny",
    "timm:deit_tiny_patch16_224",
    "timm:efficientformerv2_s0",
    "timm:gcvit_xxtiny",
    "timm:hiera_tiny_224",
    "timm:levit_128s",
    "timm:maxvit_pico_rw_256",
    "timm:gmlp_ti16_224",
    "timm:pit_ti_224",
]
_OF_ONE_SIZE = {"timm:halonet_h1": 256, "timm:efficientformer_l1": 224}
_TINY = [
    "byobnet",
    "coatnet",
    "convnext",
    "convnext2",
    "convnext3",
    "efficientnet",
    "efficientnet_evos",
    "efficientnet_gn",
    "efficientnet_ln",
    "mambaout",
    "maxvit",
    "nfnet",
    "resnet",
    "vit",
    "vit2",
    "vit3",
    "vit4",
    "vit_relpos",
]

FAMILIES = (
    *(Network(f"timm:test_{name}", 160) for name in _TINY),
    *(Network(name) for name in _PLAIN),
    *(Network(name, arguments={"img_size": 64}) for name in _TAKE_THE_SIZE),
    *(Network(name, size) for name, size in _OF_ONE_SIZE.items()),
)
"""All those that timm has for tests, and a small network of each family."""

DO_NOT_GO = frozenset({"timm:efficientvim_m1", "timm:hiera_tiny_224", "timm:nextvit_small", "timm:repghostnet_050"})
"""Refused, and a run refuses them before it trains."""


def try_network(network: Network) -> dict[str, Any]:
    """Build, export, audit and compare; JSON values: `status` (`passed`, `refused`), `reason`, figures."""
    import torch

    from exporters.artifacts.rehearsal import rehearse
    from exporters.images.preprocessing import Preprocessing
    from exporters.onnx.reader import read_onnx
    from exporters.student.architectures import build
    from exporters.student.student import TrainedStudent

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    torch.manual_seed(7)
    module = build(network.architecture, CLASSES).eval()
    labels = [f"class {index}" for index in range(CLASSES)]
    student = TrainedStudent(module, labels, Preprocessing(network.size, network.size, mean, std), network.architecture)
    row: dict[str, Any] = {"name": network.name, "size": network.size, "parameters": student.parameters}
    started = time.thread_time()
    try:
        fp32 = rehearse(student, OPSET)
    except TmkdError as error:
        row |= {"status": "refused", "reason": error.message.splitlines()[0]}
    else:
        own = sum(entry["origin"].startswith(("computed", "constant of")) for entry in fp32.entries)
        nodes = sum(read_onnx(fp32.model).operators.values())
        row |= {"status": "passed", "reason": "", "bytes": len(fp32.model), "nodes": nodes, "recomputed": own}
        row["error"] = fp32.error
    return {**row, "seconds": round(time.thread_time() - started, 1)}


def to_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table, in the order of the rows."""
    lines = ["| network | px | parameters | fp32 | nodes | recomputed | error |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        about = f"| {row['name']} | {row['size']} | {row['parameters'] / 1e6:.2f} M |"
        if row["status"] == "passed":
            about += f" {row['bytes'] / 1e6:.2f} MB | {row['nodes']} | {row['recomputed']} | {row['error']:.0e} |"
        else:
            about += f" **refused**: {row['reason']} | | | |"
        lines.append(about)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try what has no result yet, write and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = {network.name: network for network in FAMILIES}
    parser.add_argument("--only", nargs="+", choices=list(known), metavar="NETWORK")
    parser.add_argument("--out", type=Path, default=Path("runs/families"))
    chosen = parser.parse_args(arguments)
    rows = []
    for name, network in known.items():
        path = chosen.out / f"{network.label}.json"
        if name in chosen.only if chosen.only else not path.exists():
            row = try_network(network)
            write_json(path, row)
            sys.stderr.write(f"{name}: {row['status']} {row['reason']} ({row['seconds']} s)\n")
        if path.exists():
            rows.append(json.loads(path.read_text(encoding="utf-8")))
    write_text(chosen.out / "families.md", f"{to_markdown(rows)}\n")
    sys.stdout.write(f"{to_markdown(rows)}\n")
    return 3 if any((row["status"] != "passed") != (row["name"] in DO_NOT_GO) for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
