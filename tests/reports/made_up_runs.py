"""A run's folder with everything that a report can show, without a model."""

import json
from pathlib import Path

import numpy as np

from sparse_mixer_tf.analysis import files

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
LAYERS = ("sublayer_01_g/moe", "sublayer_03_g/moe", "sublayer_05_g/moe")


def write_run(workdir: Path, experts: int = 16, learning_rate: float = 1e-3, **more) -> Path:
    """A bidirectional model's run of 100 steps; texts of data try to be HTML."""
    rng = np.random.default_rng(experts)
    lines = []
    for step in range(0, 101, 10):
        routing = {"router_confidence": 0.3 + step / 400, "router_entropy": 2.0 - step / 200}
        routing |= {"load_cv": 0.5, "dropped_fraction": 0.1 + step / 1000}
        if step:
            lines.append(
                {"step": step, "split": "train", "loss": 9 - step / 50, "gradient_norm": 1.0}
                | {"learning_rate": learning_rate, "tokens_per_second": 9e3, "seconds": step * 2.5}
                | {"data_wait_fraction": 0.01, "step_seconds": 20.0, "data_seconds": 0.3}
                | {"compiling_seconds": 5.0 * (step == 10), "evaluation_seconds": 2.0}
                | routing
            )
        if step % 20 == 0:
            lines.append(
                {"step": step, "split": "validation", "loss": 9.1 - step / 50}
                | {"expert_load": {n: rng.dirichlet(np.ones(experts)).tolist() for n in LAYERS}}
                | {"routing_by_layer": {n: _scaled(routing, rng.uniform(0.5, 1)) for n in LAYERS}}
                | {"learned_spans": {f"sublayer_0{i}_s": [3.0, 60.5] for i in (0, 2, 4)}}
                | routing
            )
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {
        "model": {"architecture": "3*(sg).l", "note": EVIL},
        "training": {"task": "pretrain", "train_steps": 100, "learning_rate": learning_rate},
    }
    (workdir / "settings.json").write_text(json.dumps(settings | more))
    sample = {"text": EVIL, "predictions": [{"truth": "\u2581cat", "top": [[EVIL, 0.5]]}]}
    (workdir / "samples.jsonl").write_text(json.dumps({"step": 100, "samples": [sample]}) + "\n")
    files.write(workdir, *inspection(rng, experts))
    return workdir


def inspection(rng, experts: int) -> tuple[dict, dict]:
    words = [
        {"text": text, "lift": 3.2, "count": 40, "seen": 50} for text in ("a" * 30, EVIL, "…ing")
    ]
    texts = [f" word{i}" for i in range(60)] + [EVIL, ".\n"]
    takers = [[[i % experts, 0.5], [(i + 1) % experts, 0.25]] for i in range(60)] + [[], [[0, 1.0]]]
    layer = {
        "taken": [100 + i for i in range(experts)],
        "untaken": 3,
        "mean_gate": [0.5] * experts,
        "words": [words] * (experts - 1) + [[]],
        "paragraph": takers,
    }
    sublayers = [
        {"name": "embedding", "kind": EVIL, "parameters": 900, "active_parameters": 90,
         "weights": "[9]", "flops": 1e3},
        {"name": "sublayer_01_g", "kind": "experts", "parameters": 5_000, "active_parameters": 700,
         "weights": "16 x [9]", "flops": 9e3},
    ]  # fmt: skip
    record = {
        "step": 80, "task": "pretrain", "tokens": 32_000, "min_count": 5, "mixing_tile": 4,
        "sublayers": sublayers, "forward_seconds": {"sublayer_01_g": 0.012},
        "forward_batch": [16, 32], "paragraph": texts, "experts": dict.fromkeys(LAYERS, layer),
        "attention_tile": 1, "attended": 20,
    }  # fmt: skip
    matrix = rng.standard_normal((32, 32)).astype("float16")
    arrays = {
        "mixing/sublayer_06_l": matrix,
        "reach/sublayer_06_l": np.abs(rng.standard_normal(255)),
        "attention/sublayer_00_s/attention": rng.dirichlet(np.ones(20), (2, 20)),
        "distance/sublayer_02_s/attention": rng.dirichlet(np.ones(64), 2),
    }
    return record, arrays


def _scaled(measures: dict, factor: float) -> dict:
    return {name: value * factor for name, value in measures.items()}
