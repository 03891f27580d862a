import pytest

from pipelines.errors import InputError
from pipelines.settings import DataSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vocab_size", 3),
        ("vocab_type", "wordpiece"),
        ("max_seq_length", 2),
        ("max_predictions_per_seq", 0),
        ("masking_rate", 0.0),
        ("masking_rate", 1.5),
        ("mask_token_proportion", 1.1),
        ("random_token_proportion", -0.1),
        ("pair_objective", "shuffle"),
        ("sentence_split", "words"),
        ("max_documents", 1),
        ("max_bad_records", -1),
        ("validation_fraction", 1.0),
        ("dataset", ""),
        ("tokenizer", "letters"),
        ("block_size", 0),
        ("eval_stride", 0),
        ("eval_context", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_flag_name_and_value(name, value):
    with pytest.raises(InputError, match=f"--{name}.*{value}"):
        DataSettings(**{name: value})


def test_packing_is_refused_where_pairs_come_from_one_document():
    with pytest.raises(InputError, match="--pair_objective=none"):
        DataSettings(pack_documents=True)
    assert DataSettings(pack_documents=True, pair_objective="none").pack_documents


def test_there_are_no_more_mask_slots_than_a_full_sequence_uses():
    assert DataSettings(max_seq_length=64).num_predictions == 9
    assert DataSettings(max_seq_length=512).num_predictions == 76
    assert DataSettings(max_seq_length=512, max_predictions_per_seq=20).num_predictions == 20


def test_a_context_without_a_stride_is_refused():
    with pytest.raises(InputError, match="--eval_context=64 needs --eval_stride"):
        DataSettings(eval_context=64)
    assert DataSettings(eval_stride=8, eval_context=64).eval_context == 64


def test_settings_survive_json():
    settings = DataSettings(dataset="c4/en", max_documents=10, masking_rate=0.3)
    assert DataSettings.from_json(settings.to_json()) == settings
