"""Hands a trained run to production: a SavedModel that takes raw text, a preset, a model card.

python -m sparse_mixer_tf.export --workdir=runs/quickstart --output=exports/quickstart
"""

import json
import os
import platform
import sys
from pathlib import Path

import tensorflow as tf
from absl import flags

import sparse_mixer_tf.cli.flags as package_flags
from sparse_mixer_tf.cli import app
from sparse_mixer_tf.cli.output_dir import check_output, unfinished
from sparse_mixer_tf.experiments import log, results
from sparse_mixer_tf.experiments.load import open_run
from sparse_mixer_tf.serving import model_with_rows_apart, serve
from sparse_mixer_tf.serving.export_dir import CARD, FACTS, PRESET
from sparse_mixer_tf.serving.metadata import model_facts, signature_facts
from sparse_mixer_tf.serving.model_card import card, size_in_megabytes
from sparse_mixer_tf.serving.parity.check import Difference, compare
from sparse_mixer_tf.serving.parity.reference import make_probe
from sparse_mixer_tf.serving.parity.sample_texts import real_texts
from sparse_mixer_tf.serving.parity.subprocess import ReloadError
from sparse_mixer_tf.serving.preset import preset_difference, save_preset

flags.DEFINE_string(
    "output", None, "Folder of the export; an earlier export there is replaced by the new one."
)
flags.DEFINE_integer("top", 10, "Words named for each mask, or next symbols.", lower_bound=1)
# What --help shows besides the program's own flags.
flags.declare_key_flag("workdir")
FLAGS = flags.FLAGS
ROWS = 32


def main() -> int:
    package_flags.require("workdir", "output")
    workdir, output = Path(FLAGS.workdir), Path(FLAGS.output)
    check_output(output, replaces=FACTS)
    # The process that reloads the export needs its share.
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    try:
        with unfinished(output) as folder:
            for difference in export(workdir, folder):
                if not difference.holds:
                    raise ReloadError(f"the export is not the run: {difference}")
    except ReloadError as error:
        print(f"error: {error}; nothing was written to {output}", file=sys.stderr)
        return app.FAILED
    print(f"export: {output}")
    return app.DONE


def export(workdir: Path, folder: Path) -> list[Difference]:
    """Writes an export of a run and says how far it lies from the live model."""
    task, settings, step = open_run(workdir)
    experts = "g" in task.model_settings.architecture
    print(f"{workdir} at step {step:,}: {task.model.count_params():,} parameters")

    # What is served, and what people train on.
    model = model_with_rows_apart(task, step)
    served = serve(task, model, workdir, FLAGS.top)
    served.save(folder)
    hub_model = save_preset(task, folder / PRESET)

    # Reloaded where nothing of ours is imported, and asked about real texts.
    facts = model_facts(task, step) | {"signatures": signature_facts(served)}
    texts, source = real_texts(task, _samples(workdir), ROWS)
    print(f"comparing answers of a fresh process on {source}")
    live, evaluated = (make_probe(task, m, texts, facts["segments"]) for m in (model, task.model))
    writer = model if task.settings.task == "causal_lm" else None
    comparison = compare(folder, live, evaluated, task.settings.precision, experts, writer)
    differences = [
        *comparison.differences,
        preset_difference(hub_model, folder / PRESET, live.rows, task.settings.precision),
    ]
    print("\n".join(f"  {line}" for line in differences))
    for rows, seconds in comparison.seconds.items():
        print(f"  a batch of {rows}: {1e3 * seconds:.1f} ms (median)")

    # What people and programs should know.
    result = results.result(workdir)
    measured = {
        "parameters": task.model.count_params(),
        "megabytes": size_in_megabytes(folder),
        "seconds": comparison.seconds,
        "machine": _machine(),
        "differences": [str(line) for line in differences],
        "texts": source,
    }
    scores = result.metrics if result else {}
    name = workdir.resolve().name
    (folder / CARD).write_text(card(name, facts, settings, scores, measured), "utf-8")
    (folder / FACTS).write_text(json.dumps(facts | {"top": FLAGS.top}, indent=1) + "\n", "utf-8")
    return differences


def _samples(workdir: Path) -> list[dict]:
    """Return the run's last answers to held-out examples."""
    records = log.read_json_lines(workdir / "samples.jsonl")
    return records[-1]["samples"] if records else []


def _machine() -> str:
    devices = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(d).get("device_name", "") for d in devices]
    cores = f"{os.cpu_count()} CPU cores, {platform.machine()}"
    return ", ".join([*filter(None, names), cores, f"TensorFlow {tf.__version__}"])


if __name__ == "__main__":
    app.run(main)
