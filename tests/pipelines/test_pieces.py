import numpy as np
import pytest

from pipelines.corpus import read_vocabulary
from pipelines.errors import InputError
from pipelines.pieces import Pieces
from pipelines.symbols import Symbols

TEXT = "The river walks.\n\nA stone sings often"


@pytest.fixture(scope="module")
def pieces(store):
    return Pieces(store.vocabulary)


def test_lines_and_words_come_back(pieces):
    assert pieces.decode(pieces.encode(TEXT)) == TEXT
    assert pieces.decode(pieces.encode(TEXT + "\n")) == TEXT + "\n"


def test_each_end_of_a_line_is_one_separator(pieces, store):
    ids = pieces.encode(TEXT)
    assert ids.dtype == np.int32
    assert np.count_nonzero(ids == store.vocabulary.sep_id) == 2
    first = store.vocabulary.encode_batch(["The river walks."])[0]
    assert ids[: len(first) + 2].tolist() == [*first, *[store.vocabulary.sep_id] * 2]


def test_bytes_name_their_kind_of_vocabulary(pieces):
    again = read_vocabulary(pieces.model_bytes)
    assert isinstance(again, Pieces) and again.fingerprint == pieces.fingerprint
    assert again.size == pieces.size
    assert isinstance(read_vocabulary(Symbols("byte", [1, 2]).model_bytes), Symbols)
    with pytest.raises(InputError):
        read_vocabulary(b"neither")
