"""Real texts to compare an export on: held-out ones of the run, else what the run itself keeps."""

from collections.abc import Sequence

import numpy as np

from pipelines import prepare
from pipelines.datasets import classification, pretraining
from pipelines.errors import InputError
from pipelines.store import lm_corpus
from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.serving.ops.packing import MASK

_LONGEST = 300
Texts = list[tuple]


def real_texts(task, samples: Sequence[dict], count: int) -> tuple[Texts, str]:
    """Texts such as the model was trained for, and where they come from.

    Data are looked at where they are prepared; nothing is prepared for this.

    Args:
        task: restored.
        samples: what the run last said about held-out examples.
        count: how many are wanted.

    Returns:
        The segments of each text, and the name of the source.
    """
    sources = (
        (f"held-out text of {task.data_settings.dataset}", lambda: _held_out(task, count)),
        ("the samples of the run", lambda: _sampled(task, samples)),
        ("pieces of the vocabulary", lambda: _pieced(task)),
    )
    for name, read in sources:
        try:
            found = read()
        except InputError:
            continue
        if found:
            return _as_many(found, count), name
    raise AssertionError("a vocabulary always has pieces")


def _held_out(task, count: int) -> Texts:
    settings, kind = task.data_settings, task.settings.task
    if kind == "classify":
        data = classification.open_source(settings)
        if not data.validation:
            return []
        return [example.texts for example in data.read(data.validation[0])[:count]]
    if kind == "pretrain":
        store = prepare.open_prepared(settings)
        if store is None or store.vocabulary.fingerprint != task.vocabulary.fingerprint:
            return []
        held_out = pretraining.evaluation_stream(store, settings, count, num_batches=1)
        batch = {name: value.numpy() for name, value in next(iter(held_out)).items()}
        real = [
            ids[mask] for ids, mask in zip(batch["token_ids"], batch["padding_mask"], strict=True)
        ]
        return [(_masked_text(ids, task.vocabulary),) for ids in real]
    if not lm_corpus.is_prepared(settings):
        return []
    text = lm_corpus.open_corpus(settings)
    if text.vocabulary.fingerprint != task.vocabulary.fingerprint:
        return []
    ids = text.splits["validation"]
    # From one symbol to several blocks of reading, each from another place.
    sizes = np.linspace(1, min(_LONGEST, len(ids)), count).astype(int)
    starts = np.linspace(0, len(ids) - sizes[-1], count).astype(int)
    return [(_text(task, ids[i : i + n]),) for i, n in zip(starts, sizes, strict=True)]


def _sampled(task, samples: Sequence[dict]) -> Texts:
    if task.settings.task == "classify":
        wanted = len(classification.segment_names(task.data_settings))
        found = [tuple(s["segments"]) for s in samples if "segments" in s]
        return [segments for segments in found if len(segments) == wanted]
    if task.settings.task == "pretrain":
        shown = [s["text"] for s in samples if "predictions" in s]
        plain = [text.replace("[CLS]", "").replace("[SEP]", "") for text in shown]
        return [(" ".join(text.split()),) for text in plain]
    prompts = [s["prompt"] for s in samples if s.get("prompt")]
    return [(prompt[:end],) for prompt in prompts for end in range(1, len(prompt) + 1)]


def _pieced(task) -> Texts:
    if task.settings.task == "causal_lm":
        chosen = np.random.default_rng(0).integers(0, task.vocabulary.size, [64, 40])
        return [(_text(task, ids),) for ids in chosen]
    words = task.vocabulary
    chosen = np.random.default_rng(0).choice(words.normal_ids, [64, 40])
    segments = 1
    if task.settings.task == "classify":
        segments = len(classification.segment_names(task.data_settings))
    return [(words.decode(ids),) * segments for ids in chosen]


def _text(task, ids: np.ndarray) -> str | bytes:
    """Return the text of ids; of bytes the bytes, which need not end with a character."""
    if task.data_settings.tokenizer == "byte":
        return bytes(task.vocabulary.symbols[i] for i in ids)
    return task.vocabulary.decode(ids)


def _masked_text(ids: np.ndarray, words: Vocabulary) -> str:
    """A row as its reader would write it, with [MASK] for each mask."""
    parts, ends = [], [*np.flatnonzero(ids == words.mask_id), len(ids)]
    start = 0
    for end in ends:
        parts.append(words.decode(i for i in ids[start:end] if not words.is_special[i]))
        start = end + 1
    return f" {MASK} ".join(parts).strip()


def _as_many(texts: Texts, count: int) -> Texts:
    """The first `count`; where there are fewer, again from the first, cut shorter each time."""
    made = []
    for number in range(count):
        again, which = divmod(number, len(texts))
        made.append(tuple(text[: max(1, len(text) // (again + 1))] for text in texts[which]))
    return made
