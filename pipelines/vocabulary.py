"""SentencePiece vocabularies: the special pieces by name, batches of text to ids, training."""

import functools
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import sentencepiece

from pipelines.errors import InputError

SPECIAL_PIECES = {
    "pad": ("<pad>", "[PAD]"),
    "unk": ("<unk>", "[UNK]"),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
    "mask": ("[MASK]",),
}
# The trainer splits its work, and so its floating point sums, by this number: it is a constant so
# that a vocabulary is the same on every machine.
_TRAINING_THREADS = 4
_LONGEST_TRAINING_LINE = 4192


class Vocabulary:
    """A SentencePiece model with [CLS], [SEP], [MASK], padding and unknown pieces.

    Attributes:
        model_bytes: the serialised model.
        fingerprint: sha256 of the model, hexadecimal.
        size: number of pieces.
        pad_id, unk_id, cls_id, sep_id, mask_id: ids of the special pieces.
        is_special: bool [size]; control, unknown, unused and special pieces.
        normal_ids: int32; the pieces that are not special.
    """

    def __init__(self, model_bytes: bytes, name: str = "vocabulary"):
        """Wraps a serialised model.

        Raises:
            InputError: not a SentencePiece model, or a special piece is missing.
        """
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model_bytes)
        except RuntimeError:
            raise InputError(
                f"--vocab_filepath={name} is not a SentencePiece model; give a .model file"
            ) from None
        self.model_bytes = model_bytes
        self.fingerprint = hashlib.sha256(model_bytes).hexdigest()
        self.size = self._processor.get_piece_size()
        ids = self._special_ids(name)
        self.pad_id, self.unk_id = ids["pad"], ids["unk"]
        self.cls_id, self.sep_id, self.mask_id = ids["cls"], ids["sep"], ids["mask"]
        self.is_special = self._special_table(ids.values())
        self.normal_ids = np.flatnonzero(~self.is_special).astype(np.int32)

    def encode_batch(self, texts: list[str], num_threads: int = 1) -> list[list[int]]:
        """Ids of each text, as the sentencepiece package gives them; no special pieces added."""
        return self._processor.encode(texts, return_type=int, num_threads=num_threads)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; special pieces other than unknown ones leave nothing behind."""
        return self._processor.decode([int(i) for i in ids])

    def piece(self, token_id: int) -> str:
        return self._processor.id_to_piece(int(token_id))

    def _special_ids(self, name: str) -> dict[str, int]:
        found, missing = {}, []
        for role, spellings in SPECIAL_PIECES.items():
            ids = [self._processor.piece_to_id(piece) for piece in spellings]
            # An absent piece maps to the unknown id; its own spelling tells the two apart.
            present = [i for i, p in zip(ids, spellings, strict=True) if self.piece(i) == p]
            if present:
                found[role] = present[0]
            else:
                missing.append(" or ".join(spellings))
        if missing:
            raise InputError(
                f"--vocab_filepath={name} lacks {', '.join(missing)}; use a model trained with "
                "these pieces, or leave --vocab_filepath out: one is then trained from the data "
                "(python -m pipelines.prepare --dataset=… --output=DIR leaves it in "
                "DIR/vocabulary/spm.model)"
            )
        return found

    def _special_table(self, special_ids: Iterable[int]) -> np.ndarray:
        processor = self._processor
        table = np.array(
            [
                processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i)
                for i in range(self.size)
            ]
        )
        table[list(special_ids)] = True
        return table


def load(path: str | Path) -> Vocabulary:
    """Reads a SentencePiece model.

    Raises:
        InputError: no such file, not a model, or a special piece is missing.
    """
    try:
        model_bytes = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"--vocab_filepath={path}: {error.strerror}; give a SentencePiece .model file"
        ) from None
    return Vocabulary(model_bytes, str(path))


def train(sentences: Iterable[str], size: int, model_type: str = "bpe") -> Vocabulary:
    """Trains a vocabulary, deterministically.

    Args:
        sentences: text, one sentence or line each; read once.
        size: number of pieces, special ones included.
        model_type: "bpe" or "unigram".

    Raises:
        InputError: the text is too little for so many pieces.
    """
    model = io.BytesIO()
    train_model = functools.partial(
        sentencepiece.SentencePieceTrainer.train,
        model_writer=model,
        vocab_size=size,
        model_type=model_type,
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        control_symbols=[SPECIAL_PIECES[role][0] for role in ("cls", "sep", "mask")],
        character_coverage=0.9995,
        num_threads=_TRAINING_THREADS,
        max_sentence_length=_LONGEST_TRAINING_LINE,
        shuffle_input_sentence=False,
        minloglevel=2,
    )
    try:
        train_model(sentence_iterator=_short_lines(sentences))
    except RuntimeError as error:
        raise _training_error(str(error), size) from None
    return Vocabulary(model.getvalue(), "the trained model")


def _short_lines(sentences: Iterable[str]) -> Iterator[str]:
    """Breaks up what the trainer would skip in silence for its length."""
    longest = _LONGEST_TRAINING_LINE // 4  # a character is four bytes at most
    for sentence in sentences:
        while len(sentence) > longest:
            end = max(sentence.rfind(" ", 0, longest), 0) or longest
            yield sentence[:end]
            sentence = sentence[end:]
        yield sentence


def _training_error(message: str, size: int) -> InputError:
    if "sentences_.empty" in message:
        return InputError("there is no text to train a vocabulary from; is --dataset empty?")
    most = re.search(r"value <= (\d+)", message)
    if most:
        return InputError(
            f"--vocab_size={size} is more than the text supports; use at most {most.group(1)}, "
            "or more text"
        )
    least = re.search(r"smaller than required_chars\.? ?\D*\d+ vs (\d+)", message)
    if least:
        return InputError(
            f"--vocab_size={size} is less than the text has characters; use more than "
            f"{least.group(1)}"
        )
    return InputError(f"--vocab_size={size}: training the vocabulary failed: {message.strip()}")
