"""The tokenizer finds its special pieces by name and gives SentencePiece's own ids."""

import pytest
import sentencepiece

from sparse_mixer_tf.models import SparseMixerTokenizer
from tests.models.small_vocabulary import TEXTS, train_vocabulary

SYMBOLS = ["[CLS]", "[SEP]", "[MASK]"]


def test_ids_are_those_of_the_sentencepiece_package_and_turn_back_into_text(vocabulary):
    tokenizer = SparseMixerTokenizer(vocabulary)
    reference = sentencepiece.SentencePieceProcessor(model_proto=vocabulary)
    ids = [list(row) for row in tokenizer(TEXTS)]
    assert ids == reference.encode(TEXTS)
    assert tokenizer.detokenize(ids[0]) == TEXTS[0]


def test_special_pieces_have_the_ids_of_their_names(vocabulary):
    tokenizer = SparseMixerTokenizer(vocabulary)
    reference = sentencepiece.SentencePieceProcessor(model_proto=vocabulary)
    ids = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
    assert ids == tuple(reference.piece_to_id(SYMBOLS))
    assert tokenizer.pad_token_id == reference.pad_id() == 0


def test_padding_is_found_by_name_wherever_it_stands():
    proto = train_vocabulary(pad_id=7, pad_piece="[PAD]", unk_id=0, user_defined_symbols=SYMBOLS)
    tokenizer = SparseMixerTokenizer(proto)
    assert (tokenizer.pad_token, tokenizer.pad_token_id) == ("[PAD]", 7)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"user_defined_symbols": ["[CLS]"]}, r"lacks \[SEP\], \[MASK\]; train one with"),
        ({"user_defined_symbols": SYMBOLS, "pad_id": -1, "unk_id": 0}, r"lacks <pad> or \[PAD\]"),
    ],
)
def test_a_vocabulary_that_lacks_special_pieces_is_refused_by_their_names(options, missing):
    with pytest.raises(ValueError, match=missing):
        SparseMixerTokenizer(train_vocabulary(**options))
