import gzip
import json

import numpy as np
import pytest
import sentencepiece

from pipelines.errors import InputError
from pipelines.store.lm_corpus import read_vocabulary
from pipelines.tokenizers import sentencepiece_model, sentencepiece_training
from pipelines.tokenizers.sentencepiece_model import Pieces
from pipelines.tokenizers.symbols import Symbols
from tests.models.small_vocabulary import train_vocabulary
from tests.pipelines.conftest import made_up_document


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def trained(request):
    return sentencepiece_training.train(map(made_up_document, range(100)), 120, request.param)


def test_a_trained_vocabulary_has_the_size_and_the_special_pieces(trained):
    assert trained.size == 120
    ids = (trained.pad_id, trained.unk_id, trained.cls_id, trained.sep_id, trained.mask_id)
    assert ids == (0, 1, 2, 3, 4)
    assert [trained.piece(i) for i in ids] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert np.flatnonzero(trained.is_special).tolist() == list(ids)
    assert trained.normal_ids.tolist() == list(range(5, 120))


def test_text_survives_encoding_and_decoding(trained):
    text = "River stone walks quietly."
    assert trained.decode(trained.encode_batch([text])[0]) == text


def test_a_special_piece_in_the_text_is_not_read_as_one(trained):
    ids = trained.encode_batch(["river [MASK] stone [SEP]"])[0]
    assert not {trained.mask_id, trained.sep_id} & set(ids)


def test_a_missing_file_and_a_file_of_something_else_are_refused(tmp_path):
    with pytest.raises(InputError, match="--vocab_filepath=.*nowhere.model: No such file"):
        sentencepiece_model.load(tmp_path / "nowhere.model")
    (tmp_path / "text.model").write_text("not a model")
    with pytest.raises(InputError, match="is not a SentencePiece model"):
        sentencepiece_model.load(tmp_path / "text.model")


def test_a_model_without_the_special_pieces_is_refused_by_their_names(tmp_path):
    (tmp_path / "plain.model").write_bytes(train_vocabulary(pad_id=-1, unk_id=0))
    with pytest.raises(InputError, match=r"lacks <pad>.*\[CLS\].*\[SEP\].*\[MASK\].*prepare"):
        sentencepiece_model.load(tmp_path / "plain.model")


@pytest.mark.parametrize("name", ["local_bpe_32000", "albert_unigram_30000"])
def test_ids_equal_those_of_the_sentencepiece_package_on_web_text(shared, name):
    path = shared / f"data/vocab/{name}.model"
    with gzip.open(shared / "data/text/c4_sample.jsonl.gz", "rt", encoding="utf-8") as stream:
        texts = [json.loads(line)["text"] for line, _ in zip(stream, range(300), strict=False)]
    words = sentencepiece_model.load(path)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(path))
    assert words.encode_batch(texts, num_threads=2) == [reference.encode(text) for text in texts]
    assert words.size == reference.get_piece_size()
    assert words.piece(words.mask_id) == "[MASK]"


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
