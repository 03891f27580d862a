"""Fills the [MASK]s of texts, classifies them, or continues them.

python -m sparse_mixer_tf.predict --workdir=runs/quickstart --text='Return the [MASK] of x.'
python -m sparse_mixer_tf.predict --workdir=runs/quickstart --input=texts.txt --format=json
python -m sparse_mixer_tf.predict --workdir=runs/rte --input=pairs.tsv
python -m sparse_mixer_tf.predict --workdir=runs/brainformer --text='The function returns '
"""

import itertools
import json
from collections.abc import Iterator

from absl import flags

import sparse_mixer_tf.flags as package_flags
from sparse_mixer_tf import command_line
from sparse_mixer_tf.runs import open_run
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.classifying import classify
from sparse_mixer_tf.tasks.continuing import SAMPLERS, continue_texts, make_sampler
from sparse_mixer_tf.tasks.filling import encode, fill, sample_lines

flags.DEFINE_multi_string(
    "text",
    [],
    "A text with [MASK]s, one to classify, segments apart by tabs, or one to continue; may be "
    "repeated.",
)
flags.DEFINE_string("input", None, "A file of texts, one a line; - reads standard input.")
flags.DEFINE_enum("format", "table", ["table", "json"], "Lines to read, or one object a line.")
flags.DEFINE_integer("top", 3, "Pieces shown for each mask, classes for each text.", lower_bound=1)
flags.DEFINE_integer("length", 200, "Continuing: symbols to add.", lower_bound=1)
flags.DEFINE_enum("sampler", "top_p", SAMPLERS, "Continuing: how the next symbol is chosen.")
flags.DEFINE_float("temperature", 0.8, "Continuing: below 1 favours likely symbols.", 1e-3)
flags.DEFINE_integer("top_k", 20, "Continuing: how many symbols top_k chooses among.", 1)
flags.DEFINE_float("top_p", 0.9, "Continuing: how much probability top_p chooses among.", 1e-6, 1)
FLAGS = flags.FLAGS
BATCH = 32


def main() -> int:
    package_flags.require("workdir")
    if bool(FLAGS.text) == bool(FLAGS.input):
        raise SettingsError("give either --text or --input")
    task, facts, _ = open_run(FLAGS.workdir)
    answer, lines = ANSWERS[facts["training"]["task"]], _lines()
    while texts := list(itertools.islice(lines, BATCH)):
        for record, shown in answer(task, texts):
            print(json.dumps(record, ensure_ascii=False) if FLAGS.format == "json" else shown)
    return command_line.DONE


def _fill(task, texts: list[str]) -> Iterator[tuple[dict, str]]:
    data = task.data_settings
    batch = encode(texts, task.vocabulary, data.max_seq_length, data.num_predictions)
    rows = fill(task.model, batch, task.vocabulary, FLAGS.top)
    for text, row in zip(texts, rows, strict=True):
        for prediction in row["predictions"]:
            del prediction["truth"]
        yield row | {"text": text}, "\n".join(sample_lines([row], masks=None))


def _classify(task, texts: list[str]) -> Iterator[tuple[dict, str]]:
    records = classify(task, [tuple(text.split("\t")) for text in texts])
    for text, record in zip(texts, records, strict=True):
        shares = list(record.get("probabilities", {}).items())[: FLAGS.top]
        said = ", ".join(f"{label} {share:.0%}" for label, share in shares)
        yield record, f"  {text}\n    {said or record['value']}"


def _continue(task, texts: list[str]) -> Iterator[tuple[dict, str]]:
    choices = (FLAGS.sampler, FLAGS.temperature, FLAGS.top_k, FLAGS.top_p)
    # --seed is the flag of the trainer; here it makes the dice.
    sampler = make_sampler(*choices, seed=FLAGS.seed)
    records = continue_texts(task.model, task.vocabulary, texts, FLAGS.length, sampler)
    for record in records:
        yield record, f"{record['prompt']}{record['continuation']}\n"


ANSWERS = {"pretrain": _fill, "classify": _classify, "causal_lm": _continue}


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
