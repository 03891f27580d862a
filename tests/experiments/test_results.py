import json

import pytest

from sparse_mixer_tf.experiments import benchmark_table, results


def _run(folder, dataset, score, rate=1e-4, seed=0, complete=True, **metrics):
    checkpoint = folder / "checkpoints/00000010"
    checkpoint.mkdir(parents=True)
    settings = {"data": {"dataset": dataset}, "training": {"learning_rate": rate, "seed": seed}}
    settings |= {"model": {}, "vocabulary_fingerprint": "ab"}
    (folder / "settings.json").write_text(json.dumps(settings))
    manifest = {"step": 10, "score": 1 - score, "complete": complete}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    record = {"step": 10, "split": "validation", "loss": 1.0, "score": score} | metrics
    later = record | {"step": 20, "score": 0.0}
    lines = [{"step": 10, "split": "train", "loss": 9}, record, later]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))


def test_runs_are_grouped_over_seeds_and_ordered_by_their_median(tmp_path):
    for rate, scores in ((1e-4, (0.5, 0.9, 0.6)), (1e-3, (0.7, 0.65, 0.1))):
        for seed, score in enumerate(scores):
            _run(tmp_path / f"{rate}-{seed}", "glue/cola", score, rate, seed)
    best, other = results.groups(tmp_path)
    assert (best.learning_rate, best.score, best.spread) == (1e-3, 0.65, (0.1, 0.7))
    assert (other.score, other.best.seed) == (0.6, 1)


def test_a_folder_without_a_scored_run_gives_nothing(tmp_path):
    assert results.result(tmp_path) is None
    assert results.groups(tmp_path) == []


def test_what_a_killed_run_left_half_written_is_passed_over(tmp_path):
    _run(tmp_path, "glue/rte", 0.6)
    with open(tmp_path / "metrics.jsonl", "a") as log:
        log.write('\n{"step": 30, "spl')
    assert results.result(tmp_path).score == 0.6
    (tmp_path / "metrics.jsonl").unlink()
    assert results.result(tmp_path) is None


def test_the_average_is_of_the_tasks_that_are_there_and_says_so(tmp_path):
    _run(tmp_path / "a", "glue/mrpc", 0.8, accuracy=0.7, f1=0.9)
    _run(tmp_path / "b", "glue/rte", 0.6, accuracy=0.6, complete=False)
    _run(tmp_path / "c", "glue/mnli", 0.4, accuracy=0.4)
    table = benchmark_table.summarise("glue", benchmark_table.best_groups(tmp_path), {})
    assert table["average"] == pytest.approx(0.6)
    assert "glue/cola" in table["missing"] and len(table["missing"]) == 6
    text = benchmark_table.markdown(table)
    assert "| glue/mrpc | accuracy 70.0, f1 90.0 | 80.0 |" in text
    assert "Average of 3 of 9 tasks: 60.0." in text
    assert "This is not the average of the benchmark: glue/cola" in text
    assert "glue/rte: 1 of its runs are not complete." in text
    assert "glue/mnli: not scored on all of validation_matched, validation_mismatched." in text


def test_wsc_may_be_the_fixed_one(tmp_path):
    _run(tmp_path / "a", "super_glue/wsc.fixed", 0.6, accuracy=0.6)
    table = benchmark_table.summarise("super_glue", benchmark_table.best_groups(tmp_path), {})
    assert table["rows"][0]["task"] == "super_glue/wsc.fixed"
    assert "super_glue/wsc" not in table["missing"]
