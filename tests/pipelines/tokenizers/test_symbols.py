import json

import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.tokenizers.symbols import END_OF_LINE, SymbolCollector, Symbols

TEXT = "No rosé,\nno  more.\n\nNo!\n"


def collected(tokenizer, *texts):
    collector = SymbolCollector(tokenizer)
    ids = [collector.encode(text.encode()) for text in texts]
    return ids, collector.finish()


@pytest.mark.parametrize("tokenizer", ["byte", "character", "word"])
def test_ids_follow_the_first_use_over_all_texts(tokenizer):
    (first, second), vocabulary = collected(tokenizer, "b a\nb", "c a")
    spelled = [
        bytes([s]).decode() if tokenizer == "byte" else s.replace(END_OF_LINE, "\n")
        for s in vocabulary.symbols
    ]
    assert spelled == (["b", "a", "\n", "c"] if tokenizer == "word" else ["b", " ", "a", "\n", "c"])
    assert vocabulary.size == len(spelled)
    assert first.max() == vocabulary.size - 2
    assert second.max() == vocabulary.size - 1
    assert first.dtype == second.dtype == np.int32


@pytest.mark.parametrize("tokenizer", ["byte", "character"])
def test_bytes_and_characters_come_back_as_they_were(tokenizer):
    (ids,), vocabulary = collected(tokenizer, TEXT)
    assert vocabulary.decode(ids) == TEXT
    assert len(ids) == len(TEXT) + (tokenizer == "byte")


def test_words_come_back_with_single_spaces_and_every_line():
    (ids,), vocabulary = collected("word", TEXT)
    assert vocabulary.decode(ids) == "No rosé,\nno more.\n\nNo!\n"
    assert [vocabulary.symbols[i] for i in ids[:3]] == ["No", "rosé,", END_OF_LINE]


def test_every_kind_of_line_end_is_one_symbol_among_words():
    (ids,), vocabulary = collected("word", "a\r\nb\rc\n")
    assert [vocabulary.symbols[i] for i in ids] == ["a", "<eos>", "b", "<eos>", "c", "<eos>"]


@pytest.mark.parametrize("tokenizer", ["byte", "character", "word"])
def test_a_closed_vocabulary_encodes_as_its_collector_did(tokenizer):
    (ids,), vocabulary = collected(tokenizer, TEXT)
    assert np.array_equal(vocabulary.encode(TEXT), ids)
    assert vocabulary.encode(TEXT).dtype == np.int32
    assert vocabulary.encode("").shape == (0,)


@pytest.mark.parametrize("tokenizer", ["byte", "character", "word"])
def test_a_vocabulary_survives_its_bytes(tokenizer):
    _, vocabulary = collected(tokenizer, TEXT)
    again = Symbols.from_bytes(vocabulary.model_bytes)
    assert (again.tokenizer, again.symbols) == (tokenizer, vocabulary.symbols)
    assert again.fingerprint == vocabulary.fingerprint
    assert json.loads(vocabulary.model_bytes)["tokenizer"] == tokenizer
    assert again.fingerprint != collected(tokenizer, TEXT + "x y z")[1].fingerprint


@pytest.mark.parametrize(
    ("tokenizer", "prompt", "shown"),
    [
        ("byte", "No more é?", "the byte 63 ('?')"),
        ("character", "No Z and ß", "'Z', 'a', 'd' and 1 more"),
        ("word", "No less", "'less'"),
    ],
)
def test_unknown_symbols_of_a_prompt_are_named_once(tokenizer, prompt, shown):
    _, vocabulary = collected(tokenizer, TEXT.replace("No!", "Nn"))
    with pytest.raises(InputError) as error:
        vocabulary.encode(prompt)
    assert shown in str(error.value) and f"--tokenizer={tokenizer}" in str(error.value)
    assert "\n" not in str(error.value)


def test_bytes_need_not_be_utf8_and_show_as_replacements():
    collector = SymbolCollector("byte")
    ids = collector.encode(b"a\xff\xc3")
    vocabulary = collector.finish()
    assert vocabulary.symbols == [97, 255, 195]
    assert vocabulary.decode(ids) == "a\ufffd\ufffd"
    assert np.array_equal(vocabulary.encode("a\udcff"), [0, 1])


def test_characters_must_be_utf8():
    with pytest.raises(UnicodeDecodeError):
        SymbolCollector("character").encode(b"a\xff")


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"symbols": []}', b"\x0a\x08"])
def test_bytes_that_are_no_vocabulary_are_refused(content):
    with pytest.raises(InputError, match="not one of bytes, characters or words"):
        Symbols.from_bytes(content)
