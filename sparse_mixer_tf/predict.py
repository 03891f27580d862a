"""Fills the [MASK]s of texts.

python -m sparse_mixer_tf.predict --workdir=runs/quickstart --text='Return the [MASK] of x.'
python -m sparse_mixer_tf.predict --workdir=runs/quickstart --input=texts.txt --format=json
"""

import itertools
import json
from collections.abc import Iterator

from absl import flags

import sparse_mixer_tf.flags as package_flags
from sparse_mixer_tf import command_line
from sparse_mixer_tf.runs import open_run
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.filling import encode, fill, sample_lines

flags.DEFINE_multi_string("text", [], "A text with [MASK]s; may be repeated.")
flags.DEFINE_string("input", None, "A file of texts, one a line; - reads standard input.")
flags.DEFINE_enum("format", "table", ["table", "json"], "Lines to read, or one object a line.")
flags.DEFINE_integer("top", 3, "Pieces shown for each mask.", lower_bound=1)
FLAGS = flags.FLAGS
BATCH = 32


def main() -> int:
    package_flags.require("workdir")
    if bool(FLAGS.text) == bool(FLAGS.input):
        raise SettingsError("give either --text or --input")
    task, _, _ = open_run(FLAGS.workdir)
    data, lines = task.data_settings, _lines()
    while texts := list(itertools.islice(lines, BATCH)):
        batch = encode(texts, task.vocabulary, data.max_seq_length, data.num_predictions)
        rows = fill(task.model, batch, task.vocabulary, FLAGS.top)
        for text, row in zip(texts, rows, strict=True):
            for prediction in row["predictions"]:
                del prediction["truth"]
            if FLAGS.format == "json":
                print(json.dumps({"text": text, **row}, ensure_ascii=False))
            else:
                print("\n".join(sample_lines([row], masks=None)))
    return command_line.DONE


def _lines() -> Iterator[str]:
    if FLAGS.text:
        yield from FLAGS.text
        return
    try:
        with open(0 if FLAGS.input == "-" else FLAGS.input, encoding="utf-8") as source:
            yield from (line.rstrip("\n") for line in source if line.strip())
    except OSError as error:
        raise SettingsError(f"--input={FLAGS.input}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"--input={FLAGS.input} is not UTF-8 ({error.reason})") from None


if __name__ == "__main__":
    command_line.run(main)
