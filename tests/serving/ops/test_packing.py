import numpy as np
import pytest
import tensorflow as tf

from pipelines.labelled import dataset
from pipelines.labelled.examples import UNLABELLED, Example
from pipelines.tokenizers import sentencepiece_model
from pipelines.tokenizers.sentencepiece_model import plain_text
from sparse_mixer_tf.serving.ops.packing import Packer
from sparse_mixer_tf.tasks.mask_filling import encode
from tests.models.small_vocabulary import TEXTS

AWKWARD = [
    "",
    " ",
    "\0",
    "a\0b",
    "\N{ROCKET}\N{ZERO WIDTH JOINER}é",
    "x" * 300,
    "\t\n",
    "<pad>",
    "!!!!",
]


def _texts(rng, count):
    words = " ".join(TEXTS).split()
    made = [" ".join(rng.choice(words, rng.integers(0, 14))) for _ in range(count - len(AWKWARD))]
    return [*AWKWARD, *made]


@pytest.mark.parametrize("truncation", ["longest", "right"])
@pytest.mark.parametrize("segments", [1, 2, 3])
def test_rows_are_those_that_training_packs(words, segments, truncation):
    rng = np.random.default_rng(segments)
    columns = [rng.permutation(_texts(rng, 60)).tolist() for _ in range(segments)]
    examples = [
        Example(texts, UNLABELLED, n, (n,)) for n, texts in enumerate(zip(*columns, strict=True))
    ]
    width = 20 + 20 * segments
    made = dataset.tokenise(examples, words, width, truncation)
    assert 5 < made.num_truncated < 60
    expected = made.rows(np.arange(60))
    rows = Packer(words, width, truncation).pack([tf.constant(column) for column in columns])
    for name in ("token_ids", "segment_ids", "padding_mask"):
        np.testing.assert_array_equal(rows[name], expected[name])


def test_masked_rows_are_those_that_python_makes(words):
    rng = np.random.default_rng(0)
    texts = [text.replace("the", "[MASK]") for text in _texts(rng, 80)]
    texts += ["[MASK]", "[MASK][MASK]", "a [MASK] " * 30]
    expected = encode(texts, words, 24, 3)
    packer = Packer(words, 24)
    rows = packer.pack_masked(tf.constant(texts))
    positions, real = packer.mask_slots(rows["token_ids"], 3)
    for name, value in (rows | {"mask_positions": positions, "mask_weights": real}).items():
        np.testing.assert_array_equal(value, expected[name])


def test_special_pieces_spelled_in_a_text_are_letters(words):
    text = "a [SEP] [CLS] b [MASK] <pad>"
    assert words.sep_id in words.encode_batch([text])[0]
    packer = Packer(words, 64)
    for rows in (packer.pack([tf.constant([text])]), packer.pack_masked(tf.constant([text]))):
        (ids,) = rows["token_ids"].numpy()
        assert np.flatnonzero(ids == words.sep_id).tolist() == [
            rows["padding_mask"].numpy().sum() - 1
        ]
        assert np.flatnonzero(ids == words.cls_id).tolist() == [0]
    assert words.mask_id not in packer.pack([tf.constant([text])])["token_ids"].numpy()


def test_a_vocabulary_of_plain_text_has_the_same_pieces(words):
    plain = plain_text(words)
    assert [plain.piece(i) for i in range(50)] == [words.piece(i) for i in range(50)]
    assert (plain.cls_id, plain.mask_id) == (words.cls_id, words.mask_id)
    assert plain.encode_batch(TEXTS) == words.encode_batch(TEXTS)


def test_invalid_utf8_is_packed_and_equals_the_sentencepiece_package(words):
    broken = [b"\xff\xfe fox", b"the \xe2\x82", b"\xed\xa0\x80 dog"]
    rows = Packer(words, 30).pack([tf.constant(broken)])
    expected = words.encode_batch(broken)
    for ids, mask, piece_ids in zip(
        rows["token_ids"].numpy(), rows["padding_mask"].numpy(), expected, strict=True
    ):
        assert ids[mask][1:-1].tolist() == piece_ids


@pytest.mark.parametrize("name", ["local_bpe_32000", "albert_unigram_30000"])
def test_ids_of_web_text_are_those_of_the_sentencepiece_package(shared, name):
    import tensorflow_datasets as tfds

    words = sentencepiece_model.load(shared / f"data/vocab/{name}.model")
    documents = tfds.load(
        "local_web_text", split="train[:300]", data_dir=shared / "data/tfds", download=False
    )
    lines = [line for row in tfds.as_numpy(documents) for line in row["text"].decode().splitlines()]
    assert len(lines) > 1000
    found = Packer(words, 64).tokenizer.tokenize(tf.constant(lines)).to_list()
    assert found == words.encode_batch(lines)
