import json

from sparse_mixer_tf.training.writers import MetricsWriter


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_continued_run_drops_what_came_after_its_checkpoint(tmp_path):
    first = MetricsWriter(tmp_path)
    for step in (0, 5, 10):
        first.write(step, "train", {"loss": float(step)})
        first.write_samples(step, [])
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 12, "spl')
    second = MetricsWriter(tmp_path, from_step=5)
    second.write(6, "train", {"loss": 6.0})
    assert [r["step"] for r in _lines(tmp_path / "metrics.jsonl")] == [0, 5, 6]
    assert [r["step"] for r in _lines(tmp_path / "samples.jsonl")] == [0, 5]
    MetricsWriter(tmp_path, from_step=0)
    assert _lines(tmp_path / "metrics.jsonl") == []


def test_words_of_any_language_are_written_as_they_are(tmp_path):
    MetricsWriter(tmp_path).write_samples(1, [{"text": "naïve 日本"}])
    assert "naïve 日本" in (tmp_path / "samples.jsonl").read_text(encoding="utf-8")
