"""The tokenizer of a graph gives the ids of the sentencepiece package for every kind of model."""

import pytest

from pipelines.errors import InputError
from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.serving.ops.tokenizers import AWKWARD_TEXTS, differences, graph_tokenizer
from tests.models.small_vocabulary import TEXTS, train_vocabulary

SPECIAL = ["[CLS]", "[SEP]", "[MASK]"]
KINDS = {
    "bpe": {"model_type": "bpe", "hard_vocab_limit": True},
    "unigram": {},
    "byte_fallback": {"byte_fallback": True, "vocab_size": 330},
    "no_dummy_prefix": {"add_dummy_prefix": False},
    "whitespace_as_suffix": {"treat_whitespace_as_suffix": True},
    "identity": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "user_defined": {"user_defined_symbols": [*SPECIAL, "quick", "the b"]},
}


def vocabulary(**options) -> Vocabulary:
    options = {
        "model_type": "unigram",
        "user_defined_symbols": SPECIAL,
        "hard_vocab_limit": False,
        **options,
    }
    return Vocabulary(train_vocabulary(**options))


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_sentencepiece_package(kind):
    words = vocabulary(**KINDS[kind])
    assert differences(graph_tokenizer(words), words, [*AWKWARD_TEXTS, *TEXTS]) == []


def test_the_vocabulary_of_a_user_with_byte_fallback_is_read_alike(shared):
    words = Vocabulary((shared / "inputs/unigram_bf.model").read_bytes())
    texts = [
        *AWKWARD_TEXTS,
        "this is good \U0001f44d",
        "\U0001f44e king",
        "will to my \U0001f44e and",
    ]
    assert differences(graph_tokenizer(words), words, texts) == []


def test_a_model_of_whole_words_is_refused():
    words = vocabulary(model_type="word")
    with pytest.raises(InputError, match="of whole words cannot be read by tensorflow-text"):
        graph_tokenizer(words)
