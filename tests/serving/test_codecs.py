import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.serving.ops.tokenizers import PieceCodec, SymbolCodec
from tests.serving.conftest import LINES

TEXTS = ["the quick", "", "\n", "a\r\nb\rc\n\n", "the\u00a0dog\u2003at \x1f dawn \n", LINES]


def _known(vocabulary, text):
    """The ids of what a closed vocabulary knows of a text."""
    known = {"character": vocabulary.symbols, "word": vocabulary.symbols}
    from pipelines.tokenizers.symbols import units

    wanted = units(vocabulary.tokenizer, text)
    if vocabulary.tokenizer == "character":
        wanted = [chr(code) for code in wanted]
    listed = known.get(vocabulary.tokenizer, vocabulary.symbols)
    return [listed.index(unit) for unit in wanted if unit in listed], len(wanted)


@pytest.mark.parametrize("tokenizer", ["byte", "character", "word"])
def test_ids_are_those_of_the_vocabulary_and_unknown_symbols_are_counted(symbols, tokenizer):
    vocabulary = symbols(tokenizer)
    np.testing.assert_array_equal(vocabulary.encode(LINES), _known(vocabulary, LINES)[0])
    texts = [*TEXTS, "\N{ROCKET} the QQ dog", "\0"]
    ids, unknown = SymbolCodec(vocabulary).encode(tf.constant(texts))
    for found, left_out, text in zip(ids.to_list(), unknown.numpy(), texts, strict=True):
        expected, size = _known(vocabulary, text)
        assert found == expected and left_out == size - len(expected)


@pytest.mark.parametrize("tokenizer", ["byte", "character", "word"])
def test_texts_come_back(symbols, tokenizer):
    vocabulary = symbols(tokenizer)
    ids = [vocabulary.encode(LINES).tolist(), [], vocabulary.encode("the quick").tolist()]
    text = SymbolCodec(vocabulary).decode(tf.ragged.constant(ids, tf.int32), tf.constant([""] * 3))
    assert [t.decode() for t in text.numpy()] == [vocabulary.decode(one) for one in ids]


def test_half_a_character_becomes_a_replacement_character(symbols):
    vocabulary = symbols("byte")
    first_byte = vocabulary.symbols.index("é".encode()[0])
    text = SymbolCodec(vocabulary).decode(tf.ragged.constant([[first_byte]]), tf.constant([""]))
    assert text.numpy()[0].decode() == "\ufffd"


def test_invalid_utf8_is_left_out_or_read_as_bytes(symbols):
    broken = tf.constant([b"the \xff\xfe dog"])
    for tokenizer in ("byte", "character", "word"):
        ids, unknown = SymbolCodec(symbols(tokenizer)).encode(broken)
        assert ids.row_lengths().numpy()[0] >= 2 and unknown.numpy()[0] >= 1


def test_pieces_keep_their_lines(symbols):
    pieces = symbols("sentencepiece")
    ids, unknown = PieceCodec(pieces).encode(tf.constant(TEXTS))
    assert ids.to_list() == [pieces.encode(text).tolist() for text in TEXTS]
    assert not unknown.numpy().any()


def test_pieces_go_on_with_a_space_where_a_word_begins(symbols):
    pieces = symbols("sentencepiece")
    codec = PieceCodec(pieces)
    added = pieces.encode("the dog\nover a").tolist()
    before = ["a quick", "a quick ", "a\n", ""]
    text = codec.decode(tf.ragged.constant([added] * 4, tf.int32), tf.constant(before))
    assert [t.decode() for t in text.numpy()] == [" the dog\nover a", *["the dog\nover a"] * 3]
    none = codec.decode(tf.RaggedTensor.from_row_lengths(tf.constant([], tf.int32), [0]), ["a"])
    assert none.numpy()[0] == b""
