from pipelines.tokenizers.sentencepiece_training import train
from pipelines.tokenizers.symbols import Symbols
from sparse_mixer_tf.analysis.token_text import running, shown


def test_pieces_are_shown_by_themselves_and_read_on_as_text():
    words = train(["a cat, a dog", "a cart, a dot"] * 20, 26)
    ids = words.encode_batch(["a cat, a dog"])[0]
    assert "".join(running(words, [words.cls_id, *ids])).split() == [
        "[CLS]",
        "a",
        "cat,",
        "a",
        "dog",
    ]
    by_piece = {words.piece(i): shown(words, i) for i in range(words.size)}
    assert by_piece["\u2581"] == "space" and by_piece["[CLS]"] == "[CLS]" and by_piece[","] == ","
    assert all(
        text == f"…{piece}"
        for piece, text in by_piece.items()
        if piece[0].isalnum() and len(piece) < 4
    )


def test_symbols_that_cannot_be_seen_have_names():
    symbols = Symbols("byte", [32, 10, 65, 0xC3, 0x07])
    assert [shown(symbols, i) for i in range(5)] == ["space", "new line", "A", "byte C3", "U+0007"]
    assert running(symbols, [2, 1, 4]) == ["A", "\n", "\ufffd"]


def test_words_that_are_tokens_read_on_with_spaces():
    symbols = Symbols("word", ["cat", "<eos>", "sat"])
    assert "".join(running(symbols, [0, 2, 1, 0])) == " cat sat\n cat"
    assert shown(symbols, 1) == "new line"
