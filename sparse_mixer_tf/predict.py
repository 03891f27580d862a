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
from pipelines.tokenizers import sentencepiece_model
from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.cli import app
from sparse_mixer_tf.cli.text_input import texts_of
from sparse_mixer_tf.experiments.load import open_run
from sparse_mixer_tf.serving import model_with_rows_apart, serve
from sparse_mixer_tf.serving.export_dir import FACTS, Exported
from sparse_mixer_tf.serving.metadata import model_facts
from sparse_mixer_tf.serving.predictions import classify, continue_texts, fill, sampling
from sparse_mixer_tf.settings import SettingsError
from sparse_mixer_tf.tasks.generation import SAMPLERS
from sparse_mixer_tf.tasks.mask_filling import MASK
from sparse_mixer_tf.training.workdir import SETTINGS

flags.DEFINE_string("export", None, "Folder of an export, instead of the --workdir of a run.")
flags.DEFINE_multi_string(
    "text",
    [],
    "A text with [MASK]s, one to classify, segments apart by tabs, or one to continue; may be "
    "repeated.",
)
flags.DEFINE_string(
    "input",
    None,
    "A file of texts, one a line, or a .csv, .tsv, .jsonl or .parquet file with the text fields "
    "of the run; - reads lines of standard input.",
)
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


def main() -> int:
    if bool(FLAGS.workdir) == bool(FLAGS.export):
        raise SettingsError("give either --workdir, of a run, or --export")
    if bool(FLAGS.text) == bool(FLAGS.input):
        raise SettingsError("give either --text or --input")
    answer, fields = _open()
    lines = iter(FLAGS.text) if FLAGS.text else texts_of(FLAGS.input, fields)
    try:
        while texts := list(itertools.islice(lines, BATCH)):
            said = _answers(answer, texts)
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


def _open() -> tuple[Callable, list[str]]:
    """Return `texts -> (record, line) of each`, of a run or an export, and its text fields."""
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
    fields = list(facts["segments"].values())
    if facts["task"] == "pretrain":
        if FLAGS.top > facts.get("top", FLAGS.top):
            raise SettingsError(
                f"--top={FLAGS.top}: the export names {facts['top']} words for each mask; ask for "
                f"fewer, or export with --top={FLAGS.top}"
            )
        answer = functools.partial(fill, model.answer, top=FLAGS.top)
    elif facts["task"] == "classify":
        segments = facts["segments"]
        answer = functools.partial(classify, model.answer, segments=segments, top=FLAGS.top)
    if facts["task"] != "causal_lm":
        words = sentencepiece_model.load(vocabulary)
        return _noting_cuts(answer, words, facts["max_seq_length"], len(fields)), fields
    # --seed is the flag of the trainer; here it makes the dice.
    names = ("sampler", "length", "temperature", "top_k", "top_p", "seed")
    how = sampling(*(FLAGS[name].value for name in names))
    words = read_vocabulary(vocabulary.read_bytes())
    answer = functools.partial(continue_texts, model.answer, vocabulary=words, how=how)
    return answer, fields


def _answers(answer: Callable, texts: list[str]) -> Iterator[tuple[dict, str]]:
    """Yield the answer to each text; a blank line keeps its place without one."""
    found = iter(answer([text for text in texts if text]))
    for text in texts:
        yield next(found) if text else ({"text": ""}, "")


def _noting_cuts(answer: Callable, words: Vocabulary, length: int, num_segments: int) -> Callable:
    """Return the same answers, with a note at each text that is longer than the model reads."""

    def noted(texts: list[str]) -> Iterator[tuple[dict, str]]:
        for text, (record, line) in zip(texts, answer(texts), strict=True):
            # A model of one text reads a tab as white space.
            segments = text.split("\t") if num_segments > 1 else [text]
            parts = [part for segment in segments for part in segment.split(MASK)]
            # [CLS], a [SEP] behind each segment, and the masks themselves.
            count = 1 + len(parts) + sum(map(len, words.encode_batch(parts)))
            if count > length:
                record["tokens_not_read"] = count - length
                line += f"\n    cut: the model reads {length} of {count} tokens"
            yield record, line

    return noted


if __name__ == "__main__":
    app.run(main)
