"""Fills the [MASK]s of texts, classifies them, or continues them.

python -m sparse_mixer_tf.predict --workdir=runs/quickstart --text='Return the [MASK] of x.'
python -m sparse_mixer_tf.predict --export=exports/quickstart --input=texts.txt --format=json
python -m sparse_mixer_tf.predict --workdir=runs/rte --input=pairs.tsv
python -m sparse_mixer_tf.predict --workdir=runs/brainformer --text='The function returns '
"""

import functools
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import flags
from tqdm import tqdm

import sparse_mixer_tf.cli.flags as package_flags  # noqa: F401, defines --workdir and --seed
from pipelines.store.lm_corpus import read_vocabulary
from sparse_mixer_tf.cli import app
from sparse_mixer_tf.experiments.load import open_run
from sparse_mixer_tf.serving import model_with_rows_apart, serve
from sparse_mixer_tf.serving.export_dir import FACTS, Exported
from sparse_mixer_tf.serving.metadata import model_facts
from sparse_mixer_tf.serving.predictions import classify, continue_texts, fill, sampling
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.generation import SAMPLERS
from sparse_mixer_tf.training.workdir import SETTINGS

flags.DEFINE_string("export", None, "Folder of an export, instead of the --workdir of a run.")
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
# What --help shows besides the program's own flags.
flags.declare_key_flag("workdir")
flags.declare_key_flag("seed")
FLAGS = flags.FLAGS
BATCH = 32
# A smaller file is read before a bar could be looked at.
BAR_FROM_BYTES = 100_000


def main() -> int:
    if bool(FLAGS.workdir) == bool(FLAGS.export):
        raise SettingsError("give either --workdir, of a run, or --export")
    if bool(FLAGS.text) == bool(FLAGS.input):
        raise SettingsError("give either --text or --input")
    answer, lines = _open(), _lines()
    try:
        while texts := list(itertools.islice(lines, BATCH)):
            said = answer(texts)
            if FLAGS.format == "json":
                found = [json.dumps(record, ensure_ascii=False) for record, _ in said]
            else:
                found = [shown for _, shown in said]
            # Above the bar, which would be drawn anew for each line of its own.
            tqdm.write("\n".join(found), file=sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return app.DONE


def _open() -> Callable:
    """`texts -> (record, line) of each`, by the model of a run or of an export."""
    if FLAGS.export:
        if (Path(FLAGS.export) / SETTINGS).is_file():
            raise SettingsError(
                f"--export={FLAGS.export} is a run; give it as --workdir={FLAGS.export}"
            )
        model = Exported(Path(FLAGS.export))
        facts, vocabulary = model.facts, model.vocabulary
    else:
        workdir = Path(FLAGS.workdir)
        if (workdir / FACTS).is_file():
            raise SettingsError(f"--workdir={workdir} is an export; give it as --export={workdir}")
        task, _, step = open_run(workdir)
        facts, vocabulary = model_facts(task, step), workdir / task.vocabulary_file
        model = serve(task, model_with_rows_apart(task, step), workdir, FLAGS.top)
    if facts["task"] == "pretrain":
        if FLAGS.top > facts.get("top", FLAGS.top):
            raise SettingsError(
                f"--top={FLAGS.top}: the export names {facts['top']} words for each mask; ask for "
                f"fewer, or export with --top={FLAGS.top}"
            )
        return functools.partial(fill, model.answer, top=FLAGS.top)
    if facts["task"] == "classify":
        return functools.partial(classify, model.answer, segments=facts["segments"], top=FLAGS.top)
    # --seed is the flag of the trainer; here it makes the dice.
    names = ("sampler", "length", "temperature", "top_k", "top_p", "seed")
    how = sampling(*(FLAGS[name].value for name in names))
    words = read_vocabulary(vocabulary.read_bytes())
    return functools.partial(continue_texts, model.answer, vocabulary=words, how=how)


def _lines() -> Iterator[str]:
    if FLAGS.text:
        yield from FLAGS.text
        return
    try:
        with open(0 if FLAGS.input == "-" else FLAGS.input, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            shown = sys.stderr.isatty() and size >= BAR_FROM_BYTES
            with tqdm(total=size, unit="B", unit_scale=True, disable=not shown) as bar:
                for line in source:
                    bar.update(len(line))
                    if line.strip():
                        yield line.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"--input={FLAGS.input}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"--input={FLAGS.input} is not UTF-8 ({error.reason})") from None


if __name__ == "__main__":
    app.run(main)
