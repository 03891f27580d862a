import dataclasses

import numpy as np
import pytest

from pipelines import random_streams
from pipelines.examples import masking
from pipelines.settings import DataSettings


@pytest.fixture(scope="module")
def settings_512():
    return DataSettings(max_seq_length=512)


def make_rows(words, rows, seq, seed=0):
    """Random rows of random lengths: [CLS], normal tokens, two [SEP], padding."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(seq // 2, seq + 1, rows)
    token_ids = draw.choice(words.normal_ids, (rows, seq)).astype(np.int32)
    token_ids[:, 0] = words.cls_id
    token_ids[np.arange(rows), lengths // 2] = words.sep_id
    token_ids[np.arange(rows), lengths - 1] = words.sep_id
    token_ids[np.arange(seq) >= lengths[:, None]] = words.pad_id
    return token_ids, lengths


def mask_rows(words, settings, rows=300, seed=0):
    token_ids, lengths = make_rows(words, rows, settings.max_seq_length)
    keys = random_streams.fold(random_streams.stream_key(seed, "masking"), np.arange(rows))
    return token_ids, lengths, masking.mask(token_ids, lengths, keys, words, settings)


@pytest.mark.parametrize("rate", [0.15, 0.01, 0.4, 0.3])
@pytest.mark.parametrize("most", [1, 20, 500])
def test_the_count_is_that_of_the_published_rule(rate, most):
    settings = DataSettings(max_seq_length=512, masking_rate=rate, max_predictions_per_seq=most)
    lengths = np.arange(3, 513)
    expected = [min(most, max(1, int(rate * int(n)))) for n in lengths]
    assert masking.num_to_predict(lengths, settings).tolist() == expected


def test_100_000_tokens_are_masked_as_the_rule_says(store, settings_512):
    words = store.vocabulary
    token_ids, lengths, batch = mask_rows(words, settings_512)
    assert lengths.sum() > 100_000
    counts = batch["mask_weights"].sum(axis=1)
    assert counts.tolist() == [max(1, int(0.15 * int(n))) for n in lengths]
    # Rounding down costs half a position a row: 0.5 of 57.
    assert counts.sum() / lengths.sum() == pytest.approx(0.15, rel=0.01)


def test_masked_tokens_divide_80_10_10(store, settings_512):
    words = store.vocabulary
    token_ids, lengths, batch = mask_rows(words, settings_512, rows=2000)
    used = batch["mask_weights"] == 1
    rows = np.arange(len(token_ids))[:, None]
    shown = batch["token_ids"][rows, batch["mask_positions"]][used]
    original = batch["mask_ids"][used]
    assert used.sum() > 100_000
    as_mask, kept = np.mean(shown == words.mask_id), np.mean(shown == original)
    by_chance = 0.1 / len(words.normal_ids)
    assert as_mask == pytest.approx(0.8, abs=0.01)
    assert kept == pytest.approx(0.1 + by_chance, abs=0.01)
    random = shown[(shown != words.mask_id) & (shown != original)]
    assert len(random) / used.sum() == pytest.approx(0.1 - by_chance, abs=0.01)
    counts = np.bincount(random, minlength=words.size)
    assert not counts[words.is_special].any()
    assert counts[words.normal_ids].min() > 0.5 * counts[words.normal_ids].mean()


def test_special_pieces_and_padding_are_never_chosen_and_positions_ascend(store, settings_512):
    words = store.vocabulary
    token_ids, lengths, batch = mask_rows(words, settings_512)
    used = batch["mask_weights"] == 1
    rows = np.arange(len(token_ids))[:, None]
    chosen = token_ids[rows, batch["mask_positions"]]
    assert np.array_equal(chosen[used], batch["mask_ids"][used])
    assert not words.is_special[chosen[used]].any()
    assert (np.diff(batch["mask_positions"], axis=1) > 0)[used[:, 1:]].all()
    assert (batch["mask_positions"] < lengths[:, None]).all()


def test_unused_slots_are_zero_and_other_tokens_stay(store, settings_512):
    token_ids, _, batch = mask_rows(store.vocabulary, settings_512)
    unused = batch["mask_weights"] == 0
    assert unused.any()
    assert not batch["mask_positions"][unused].any()
    assert not batch["mask_ids"][unused].any()
    chosen = np.zeros(token_ids.shape, bool)
    rows = np.broadcast_to(np.arange(len(token_ids))[:, None], unused.shape)
    chosen[rows[~unused], batch["mask_positions"][~unused]] = True
    assert np.array_equal(batch["token_ids"][~chosen], token_ids[~chosen])


def test_every_position_is_chosen_equally_often(store):
    words = store.vocabulary
    settings = DataSettings(max_seq_length=32)
    token_ids = np.full((20_000, 32), words.normal_ids[0], np.int32)
    keys = random_streams.fold(random_streams.stream_key(0, "masking"), np.arange(20_000))
    batch = masking.mask(token_ids, np.full(20_000, 32), keys, words, settings)
    counts = np.bincount(batch["mask_positions"].ravel(), minlength=32)
    # Four of 32 each time: 2,500 +- 47.
    assert counts == pytest.approx(np.full(32, 2500), abs=240)


def test_a_row_with_fewer_ordinary_tokens_than_predictions_masks_them_all(store):
    words = store.vocabulary
    settings = DataSettings(max_seq_length=16, masking_rate=0.5)
    token_ids = np.full((1, 16), words.unk_id, np.int32)
    token_ids[0, [3, 9]] = words.normal_ids[:2]
    batch = masking.mask(
        token_ids, np.array([16]), random_streams.stream_key(0, "masking"), words, settings
    )
    assert batch["mask_positions"][0].tolist() == [3, 9] + [0] * 6
    assert batch["mask_weights"].sum() == 2


def test_masks_depend_on_the_key_of_the_row_alone(store, settings_512):
    words = store.vocabulary
    token_ids, lengths = make_rows(words, 6, 512)
    keys = random_streams.fold(random_streams.stream_key(0, "masking"), np.arange(6))
    whole = masking.mask(token_ids, lengths, keys, words, settings_512)
    part = masking.mask(token_ids[4:5], lengths[4:5], keys[4:5], words, settings_512)
    for name, values in part.items():
        assert np.array_equal(values[0], whole[name][4])
    other = masking.mask(token_ids, lengths, random_streams.fold(keys, 1), words, settings_512)
    used = whole["mask_weights"] == 1
    assert np.mean((other["mask_positions"] == whole["mask_positions"])[used]) < 0.1


def test_proportions_of_nothing_and_everything_are_kept(store, settings_512):
    words = store.vocabulary
    for mask_share, random_share in ((1.0, 0.0), (0.0, 0.0)):
        settings = dataclasses.replace(
            settings_512, mask_token_proportion=mask_share, random_token_proportion=random_share
        )
        token_ids, _, batch = mask_rows(words, settings, rows=20)
        changed = batch["token_ids"] != token_ids
        assert changed.sum() == mask_share * batch["mask_weights"].sum()
        assert (batch["token_ids"][changed] == words.mask_id).all()
