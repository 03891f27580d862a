"""The log of a run is read as it was meant, also after a crash and a restart."""

import json

import numpy as np

from sparse_mixer_tf.experiments import log as run_log


def write_lines(workdir, *records):
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))


def test_a_step_logged_again_after_a_restart_counts_once_and_the_later_one_counts(tmp_path):
    write_lines(
        tmp_path,
        {"step": 10, "split": "train", "loss": 3.0},
        {"step": 20, "split": "train", "loss": 2.0},
        {"step": 10, "split": "validation", "loss": 4.0},
        {"step": 20, "split": "train", "loss": 1.0},
        {"step": 30, "split": "train", "loss": 0.5},
    )
    log = run_log.read(tmp_path)
    steps, losses = log.series("loss", "train")
    np.testing.assert_array_equal(steps, [10, 20, 30])
    np.testing.assert_array_equal(losses, [3.0, 1.0, 0.5])
    assert log.last("loss", "validation") == 4.0
    assert log.last("accuracy", "validation") is None


def test_metrics_of_both_splits_are_numbers_that_both_report(tmp_path):
    write_lines(
        tmp_path,
        {"step": 1, "split": "train", "loss": 1.0, "bits": 2.0, "only": 3.0, "seconds": 4.0},
        {"step": 1, "split": "validation", "loss": 1.0, "bits": 2.0, "seconds": 4.0},
    )
    assert run_log.read(tmp_path).metrics_of_both_splits() == ["loss", "bits"]


def test_expert_loads_are_stacked_by_layer_over_evaluations(tmp_path):
    write_lines(
        tmp_path,
        {"step": 5, "split": "validation", "expert_load": {"b": [0.1, 0.9], "a": [0.5, 0.5]}},
        {"step": 9, "split": "validation", "expert_load": {"b": [0.2, 0.8], "a": [0.4, 0.6]}},
    )
    steps, loads = run_log.read(tmp_path).expert_load()
    np.testing.assert_array_equal(steps, [5, 9])
    assert list(loads) == ["a", "b"]
    np.testing.assert_allclose(loads["b"], [[0.1, 0.2], [0.9, 0.8]])


def test_nested_settings_become_dotted_names():
    assert run_log.flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [2]}) == {
        "a.b.c": 1,
        "a.d": {},
        "e": [2],
    }
