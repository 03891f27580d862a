import json

from sparse_mixer_tf.training.metric_writers import MetricsWriter


def _lines(path):
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


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


def test_damaged_lines_are_left_out_and_told_and_the_others_stay(tmp_path, caplog):
    MetricsWriter(tmp_path).write_samples(1, [{"text": "one line\u2028not two"}])
    metrics = tmp_path / "metrics.jsonl"
    good = b'{"step": 1, "loss": 2.0}\n'
    damaged = [b"\xff\xfe\x00\n", b"[1]\n", b'{"split": "train"}\n', b'{"step": "1"}\n']
    metrics.write_bytes(good + b"".join([*damaged, b"[" * 100_000 + b"\n"]) + good + b'{"st')
    MetricsWriter(tmp_path, from_step=5)
    assert metrics.read_bytes() == good * 2
    assert "metrics.jsonl: 5 damaged line(s) left out" in caplog.text
    assert len(_lines(tmp_path / "samples.jsonl")) == 1


def test_words_of_any_language_are_written_as_they_are(tmp_path):
    MetricsWriter(tmp_path).write_samples(1, [{"text": "naïve 日本"}])
    assert "naïve 日本" in (tmp_path / "samples.jsonl").read_text(encoding="utf-8")


def test_what_a_full_disk_refuses_is_written_with_the_next_line(tmp_path, monkeypatch):
    writer = MetricsWriter(tmp_path)
    writer.write(1, "train", {"loss": 1.0})

    class HalfALine:
        """Writes a part of what it is given, then finds the disk full."""

        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, text):
            self.file.write(text[: len(text) // 2])
            self.file.flush()
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("builtins.open", lambda *a, _open=open, **k: HalfALine(_open(*a, **k)))
    writer.write(2, "train", {"loss": 2.0})
    monkeypatch.undo()
    assert [r["step"] for r in _lines(tmp_path / "metrics.jsonl")] == [1]
    writer.write(3, "train", {"loss": 3.0})
    assert [r["step"] for r in _lines(tmp_path / "metrics.jsonl")] == [1, 2, 3]


def test_a_process_that_is_not_the_chief_writes_nothing(tmp_path):
    writer = MetricsWriter(tmp_path, writes=False)
    writer.write(1, "train", {"loss": 1.0})
    writer.write_samples(1, [])
    assert list(tmp_path.iterdir()) == []
