"""Tokens as a person reads them."""

import unicodedata
from collections.abc import Sequence

from pipelines.tokenizers.sentencepiece_model import WORD_BEGINS, readable

_NAMES = {" ": "space", "\n": "new line", "\t": "tab", "\r": "carriage return", "": "nothing"}


def shown(vocabulary, token_id: int) -> str:
    """One token by itself: `cat`, `…ing` inside of a word, `space`, `byte C3`."""
    if not hasattr(vocabulary, "piece"):
        return _symbol(vocabulary, token_id)
    return readable(vocabulary.piece(token_id))


def running(vocabulary, token_ids: Sequence[int]) -> list[str]:
    """Tokens as parts of a text, word breaks as spaces; joined they read as the text."""
    if not hasattr(vocabulary, "piece"):
        texts = [_in_text(vocabulary.decode([i])) for i in token_ids]
        words = vocabulary.tokenizer == "word"
        return [f" {text}" if words and text != "\n" else text for text in texts]
    spaced = []
    for token_id in token_ids:
        piece = vocabulary.piece(token_id).replace(WORD_BEGINS, " ")
        spaced.append(f" {piece}" if vocabulary.is_special[token_id] else piece)
    return spaced


def are_characters(vocabulary) -> bool:
    """Whether a token is no more than a character."""
    return getattr(vocabulary, "tokenizer", None) in ("byte", "character")


def _symbol(vocabulary, token_id: int) -> str:
    text = vocabulary.decode([token_id])
    if text == "\ufffd" and isinstance(vocabulary.symbols[token_id], int):
        return f"byte {vocabulary.symbols[token_id]:02X}"
    if text in _NAMES:
        return _NAMES[text]
    return text if _is_shown(text) else " ".join(f"U+{ord(c):04X}" for c in text)


def _in_text(text: str) -> str:
    return text if text == "\n" or _is_shown(text) else "\ufffd"


def _is_shown(text: str) -> bool:
    return not any(unicodedata.category(c).startswith("C") for c in text)
