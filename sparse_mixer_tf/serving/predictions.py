"""Answers of a served model as records for programs and lines for people.

The model is one that was opened from a run or one that was loaded from an export: what is here asks
its signatures alone.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pipelines.errors import InputError
from pipelines.tokenizers.sentencepiece_model import WORD_BEGINS, readable
from sparse_mixer_tf.tasks.mask_filling import MASK, sample_lines

Asked = Callable[..., dict]
Answers = Iterator[tuple[dict, str]]


class Sampling(NamedTuple):
    """Parameters of continuing texts.

    Attributes:
        length: symbols to add.
        temperature, top_k, top_p, seed: of the signature `generate`.
    """

    length: int
    temperature: float
    top_k: int
    top_p: float
    seed: int


def sampling(
    name: str, length: int, temperature: float, top_k: int, top_p: float, seed: int
) -> Sampling:
    """The sampling of a name: `greedy`, `top_k`, `top_p` or `random`."""
    return Sampling(
        length,
        0.0 if name == "greedy" else temperature,
        top_k if name == "top_k" else 0,
        top_p if name == "top_p" else 1.0,
        seed,
    )


def fill(ask: Asked, texts: Sequence[str], top: int) -> Answers:
    """The likeliest words for each mask of each text."""
    said = ask("serving_default", text=_encoded(texts))
    for row, text in enumerate(texts):
        predictions, pieces = [], []
        for slot in said["is_mask"][row].nonzero()[0]:
            words = [word.decode() for word in said["words"][row, slot, :top]]
            shares = said["probabilities"][row, slot, :top]
            pieces.append(words[0])
            best = [
                [readable(word), round(float(p), 4)] for word, p in zip(words, shares, strict=True)
            ]
            predictions.append({"top": best})
        record = {"text": text, "filled": _filled(text, pieces), "predictions": predictions}
        lines = sample_lines([record], masks=None)
        if missed := text.count(MASK) - len(predictions):
            record["masks_not_read"] = missed
            lines.append(
                f"    {missed} more {MASK} not read: the model fills {said['is_mask'].shape[1]} of "
                "a text, within the tokens that it reads"
            )
        elif not predictions:
            lines.append(f"    no {MASK} to fill")
        yield record, "\n".join(lines)


def _filled(text: str, pieces: Sequence[str]) -> str:
    """Return the text with its first masks replaced; a piece inside a word joins what is before."""
    before, *rest = text.split(MASK)
    for piece, following in zip(pieces, rest, strict=False):
        if piece.startswith(WORD_BEGINS):
            before = f"{before.rstrip()} {piece[1:]}" if before.strip() else piece[1:]
        else:
            before = before.rstrip() + piece
        before += following
    return MASK.join([before, *rest[len(pieces) :]])


def classify(ask: Asked, texts: Sequence[str], segments: dict[str, str], top: int) -> Answers:
    """The class of each text and its probabilities, likeliest first, or the value of a regression.

    Args:
        ask: answers `serving_default`.
        texts: segments apart by tabs, where there are several.
        segments: name of each input, and of the segment that it takes.
        top: classes for people to read.

    Raises:
        InputError: a text has another number of segments.
    """
    parts = [_split(text, list(segments.values())) for text in texts]
    columns = zip(*parts, strict=True)
    said = ask(
        "serving_default",
        **{name: _encoded(column) for name, column in zip(segments, columns, strict=True)},
    )
    for row, (text, given) in enumerate(zip(texts, parts, strict=True)):
        if "value" in said:
            value = round(float(said["value"][row]), 4)
            yield {"segments": given, "value": value}, f"  {text}\n    {value}"
            continue
        shares, labels = said["probabilities"][row], said["classes"][row]
        order = (-shares).argsort(kind="stable")
        ranked = {labels[i].decode(): round(float(shares[i]), 4) for i in order}
        record = {"segments": given, "label": labels[order[0]].decode(), "probabilities": ranked}
        shown = ", ".join(f"{label} {share:.0%}" for label, share in list(ranked.items())[:top])
        yield record, f"  {text}\n    {shown}"


def continue_texts(ask: Asked, texts: Sequence[str], vocabulary: Any, how: Sampling) -> Answers:
    """Each text and what the model writes behind it.

    Args:
        ask: answers `generate`.
        texts: of at least one symbol.
        vocabulary: with `encode`, which knows what the model can read.
        how: how symbols are chosen.

    Raises:
        InputError: a text is empty or has symbols that the vocabulary lacks.
    """
    for text in texts:
        if not len(vocabulary.encode(text)):
            raise InputError("an empty text cannot be continued; give it a symbol or more")
    said = ask("generate", text=_encoded(texts), **how._asdict())
    for text, added in zip(texts, said["continuation"], strict=True):
        continuation = added.decode("utf-8", "replace")
        yield {"prompt": text, "continuation": continuation}, f"{text}{continuation}\n"


def _split(text: str, names: list[str]) -> list[str]:
    # A model of one text reads a tab as white space.
    parts = text.split("\t") if len(names) > 1 else [text]
    if len(parts) != len(names):
        raise InputError(
            f"{text[:60]!r} has {len(parts)} texts and the model takes {len(names)}, apart by "
            f"tabs: {', '.join(names)}"
        )
    return parts


def _encoded(texts: Sequence[str]) -> list[bytes]:
    # What a command line could not decode stands in its text as escapes: bytes all the same.
    return [text.encode("utf-8", "surrogateescape") for text in texts]
