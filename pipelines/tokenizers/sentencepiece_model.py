"""SentencePiece vocabularies: the special pieces by name, batches of text to ids.

A SentencePiece vocabulary as a language model uses it: text to ids and back, lines kept.
"""

import hashlib
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import sentencepiece

from pipelines import filesystem
from pipelines.errors import InputError

WORD_BEGINS = "\u2581"
SPECIAL_PIECES = {
    "pad": ("<pad>", "[PAD]"),
    "unk": ("<unk>", "[UNK]"),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
    "mask": ("[MASK]",),
}


# Vocabularies of a million pieces or words take a tenth of it.
_LARGEST_BYTES = 2**28


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
            if not model_bytes:
                raise RuntimeError("the processor takes nothing for no model yet")
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

    @property
    def is_unigram(self) -> bool:
        """True of a unigram model, false of BPE."""
        spec = _model_proto().FromString(self.model_bytes).trainer_spec
        return spec.model_type == spec.UNIGRAM

    @property
    def has_pieces(self) -> bool:
        """True of unigram and BPE models, false of models of whole words or characters."""
        spec = _model_proto().FromString(self.model_bytes).trainer_spec
        return spec.model_type in (spec.UNIGRAM, spec.BPE)

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


def readable(piece: str) -> str:
    """A piece as a person reads it: `cat`, `…ing` inside of a word, `space`, `[MASK]`."""
    if piece.startswith(WORD_BEGINS):
        return piece[1:].replace(WORD_BEGINS, " ") or "space"
    return f"…{piece}" if piece[:1].isalnum() else piece


def plain_text(words: Vocabulary) -> Vocabulary:
    """The same ids, but a special piece that is spelled in a text is letters like others.

    So it is already where special pieces are control symbols, as in models trained here.
    """
    model = _model_proto().FromString(words.model_bytes)
    kinds = _model_proto().SentencePiece
    special = {piece for spellings in SPECIAL_PIECES.values() for piece in spellings}
    for piece in model.pieces:
        if piece.piece in special and piece.type == kinds.USER_DEFINED:
            piece.type = kinds.CONTROL
    return Vocabulary(model.SerializeToString())


def _model_proto():
    # Not at the top: it needs protobuf 7, and Apache Beam's workers, who need it not, have 6.
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2.ModelProto


def load(path: str | Path) -> Vocabulary:
    """Reads a SentencePiece model, which may lie on gs://.

    Raises:
        InputError: no such file, not a model, or a special piece is missing.
    """
    return Vocabulary(read_bytes(path), str(path))


def read_bytes(path: str | Path) -> bytes:
    """Reads a file that should be a vocabulary, not necessarily one of SentencePiece.

    Raises:
        InputError: no such file, or one that is far too large.
    """
    try:
        with filesystem.open_binary(path) as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"--vocab_filepath={path}: {error.strerror}; give a SentencePiece .model file, or the "
            "vocabulary that a run wrote"
        ) from None
    if len(content) > _LARGEST_BYTES:
        raise InputError(
            f"--vocab_filepath={path} has more than {_LARGEST_BYTES / 2**20:,.0f} MiB and cannot "
            "be a vocabulary; give a SentencePiece .model file, or the vocabulary that a run wrote"
        )
    return content


class Pieces:
    """SentencePiece ids with [SEP] for each end of a line, which SentencePiece itself forgets.

    Attributes:
        tokenizer: "sentencepiece".
        size: number of pieces.
        model_bytes: the serialised SentencePiece model.
        fingerprint: sha256 of the model, hexadecimal.
    """

    tokenizer = "sentencepiece"

    def __init__(self, vocabulary: Vocabulary):
        self._vocabulary = vocabulary
        self.size, self.model_bytes = vocabulary.size, vocabulary.model_bytes
        self.fingerprint = vocabulary.fingerprint

    @classmethod
    def from_bytes(cls, model_bytes: bytes) -> "Pieces":
        """Reads `model_bytes` back.

        Raises:
            InputError: it is not a SentencePiece model.
        """
        return cls(Vocabulary(model_bytes))

    def encode(self, text: str) -> np.ndarray:
        """The int32 ids of a text, [pieces]."""
        # Not splitlines(): a form feed or a line separator is no end of a line here.
        lines = text.replace("\r\n", "\n").split("\n")
        ids = self._vocabulary.encode_batch(lines, num_threads=os.cpu_count() or 1)
        for line in ids[:-1]:
            line.append(self._vocabulary.sep_id)
        return np.fromiter(itertools.chain.from_iterable(ids), np.int32)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, one line for each [SEP]."""
        lines = [[]]
        for i in map(int, ids):
            if i == self._vocabulary.sep_id:
                lines.append([])
            else:
                lines[-1].append(i)
        return "\n".join(map(self._vocabulary.decode, lines))
