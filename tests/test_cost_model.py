import dataclasses

import pytest

from sparse_mixer_tf import cost_model, presets
from sparse_mixer_tf.cost_model import pretraining_table
from sparse_mixer_tf.settings import ModelSettings


def _settings(name):
    known = {field.name for field in dataclasses.fields(ModelSettings)}
    return ModelSettings(**{k: v for k, v in presets.get(name).items() if k in known})


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("sparse_mixer_base", 182_356_802),
        ("sparse_mixer_small", 166_600_514),
        ("bert_base", 111_835_138),
    ],
)
def test_the_table_adds_up_to_the_published_parameter_counts(preset, parameters):
    rows = pretraining_table(_settings(preset), 32_000, 512, 80, 4096)
    assert sum(row.parameters for row in rows) == parameters


def test_a_model_without_projection_and_with_two_segments_has_so_many_weights_less():
    settings = _settings("bert_base")
    fewer = dataclasses.replace(settings, embedding_projection=False, num_segments=2)
    first, second = (pretraining_table(s, 32_000, 512, 80, 4096) for s in (settings, fewer))
    less = sum(row.parameters for row in first) - sum(row.parameters for row in second)
    assert less == 768 * 768 + 768 + 2 * 768
    assert second[0].flops == 0


def test_bert_does_the_published_multiple_of_the_sparse_mixers_work():
    def flops(name):
        rows = pretraining_table(_settings(name), 32_000, 512, 80, 4096)
        return sum(row.flops for row in rows)

    assert flops("bert_base") / flops("sparse_mixer_base") == pytest.approx(2.31, rel=0.03)
    assert flops("bert_base") / flops("fast_sparse_mixer_base") == pytest.approx(2.57, rel=0.03)


def test_capacity_follows_the_group_and_never_exceeds_it():
    settings = ModelSettings(num_experts=16, capacity_factor=1.0)
    assert cost_model.expert_capacity(settings, 4096) == 256
    assert cost_model.expert_capacity(settings, 3) == 3
    assert cost_model.expert_capacity(settings, 16) == settings.min_expert_capacity
    assert cost_model.num_groups(settings, 4097) == 2
    assert cost_model.experts_per_token(settings, 4096) == 1.0


def test_half_the_capacity_is_half_the_expert_work_and_as_many_parameters():
    full, half = (
        cost_model.sublayer("g", ModelSettings(capacity_factor=factor), 512, 4096)
        for factor in (1, 0.5)
    )
    assert full.parameters == half.parameters
    assert half.flops < 0.52 * full.flops


def test_shared_weights_are_counted_once():
    settings = ModelSettings(architecture="sfsf.sf", share_block_weights=True)
    rows = {row.name: row for row in pretraining_table(settings, 100, 16, 2, 64)}
    assert rows["sublayer_02_s"].parameters == rows["sublayer_03_f"].parameters == 0
    assert rows["sublayer_04_s"].parameters == rows["sublayer_00_s"].parameters > 0
    assert rows["sublayer_02_s"].flops == rows["sublayer_00_s"].flops
