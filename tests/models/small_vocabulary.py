"""Three texts, and SentencePiece models of their words."""

import io

import sentencepiece

TEXTS = [
    "the quick brown fox jumped over the lazy dog",
    "a small boat sailed over the quiet bay at dawn",
    "she quickly wrote five long letters to her brother",
]
SEQUENCE = 12
SPECIAL_IDS = {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1}


def train_vocabulary(**options) -> bytes:
    """A SentencePiece model of TEXTS, as bytes."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 20),
        model_writer=model,
        minloglevel=2,
        **{"vocab_size": 60, "model_type": "bpe", **SPECIAL_IDS, **options},
    )
    return model.getvalue()
