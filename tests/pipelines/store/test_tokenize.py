import itertools

import numpy as np

from pipelines.store import tokenize
from pipelines.tokenizers import sentence_splitter
from tests.pipelines.conftest import made_up_document


def test_tokens_are_those_of_each_sentence_in_order(store):
    texts = [made_up_document(number) for number in range(40)]
    chunks = list(tokenize.tokenise([("train", text) for text in texts], store.vocabulary, "lines"))
    assert len(chunks) == 1
    lines = [line for text in texts for line in sentence_splitter.split(text, "lines")]
    ids = store.vocabulary.encode_batch(lines)
    assert chunks[0].tokens.tolist() == list(itertools.chain.from_iterable(ids))
    assert chunks[0].sentence_lengths.tolist() == [len(line) for line in ids]
    assert chunks[0].document_lengths.sum() == len(chunks[0].tokens)
    assert len(chunks[0].document_lengths) == 40


def test_chunk_boundaries_change_nothing(store, monkeypatch):
    texts = [("train" if n % 5 else "validation", made_up_document(n)) for n in range(60)]

    def joined(split, field):
        chunks = tokenize.tokenise(texts, store.vocabulary, "sentences")
        return np.concatenate([getattr(chunk, field) for chunk in chunks if chunk.split == split])

    fields = ("tokens", "sentence_lengths", "document_lengths")
    keys = list(itertools.product(("train", "validation"), fields))
    whole = {key: joined(*key) for key in keys}
    monkeypatch.setattr(tokenize, "_CHUNK_CHARACTERS", 1500)
    assert len(list(tokenize.tokenise(texts, store.vocabulary, "sentences"))) > 10
    for key in keys:
        assert np.array_equal(joined(*key), whole[key])


def test_sentences_and_documents_without_a_token_are_left_out(store):
    texts = [("train", "River stone.\n\u200b\nWindow garden."), ("train", "\u200b \u200b")]
    (chunk,) = tokenize.tokenise(texts, store.vocabulary, "sentences")
    assert len(chunk.sentence_lengths) == 2
    assert len(chunk.document_lengths) == 1
