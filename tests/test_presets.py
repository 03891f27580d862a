"""Presets name the published models and have their sizes."""

import gc

import pytest

from sparse_mixer_tf import presets
from sparse_mixer_tf.architecture import parse
from sparse_mixer_tf.models import PretrainingModel, SparseMixerBackbone
from tests.long_cases import quick_among

PUBLISHED_PARAMETERS = {
    "sparse_mixer_base": 182_356_802,
    "sparse_mixer_small": 166_600_514,
    "bert_base": 111_835_138,
}


@pytest.mark.parametrize("name", quick_among(["sparse_mixer_small"], PUBLISHED_PARAMETERS))
def test_a_preset_has_the_published_number_of_parameters(name):
    sizes = presets.get(name)
    routing = {"num_experts": sizes["num_experts"]} if sizes["num_experts"] else None
    backbone = SparseMixerBackbone(
        vocabulary_size=32_000,
        architecture=sizes["architecture"],
        d_model=sizes["d_model"],
        d_ff=sizes["d_ff"],
        d_emb=sizes["d_emb"],
        num_heads=sizes["num_heads"],
        max_sequence_length=sizes["max_seq_length"],
        expert_d_ff=sizes["expert_d_ff"],
        routing=routing,
    )
    model = PretrainingModel(backbone)
    parameters = sum(weight.shape.num_elements() for weight in model.trainable_weights)
    # The largest holds 730 MB: let it go before the next one is built.
    del backbone, model
    gc.collect()
    assert parameters == PUBLISHED_PARAMETERS[name]


def test_the_sparse_mixer_presets_are_the_papers_layouts():
    assert presets.get("sparse_mixer_base")["architecture"] == "5*(lf)4*(lg)lf4*(sf)"
    assert parse(presets.get("sparse_mixer_small")["architecture"]).letters == "lflflglgsgsgsfsf"


def test_the_fast_sparse_mixer_differs_by_its_capacity_alone():
    base, fast = presets.get("sparse_mixer_base"), presets.get("fast_sparse_mixer_base")
    assert {key: fast[key] for key in fast if fast[key] != base[key]} == {
        "capacity_factor": 0.5,
        "eval_capacity_factor": 0.5,
    }


@pytest.mark.parametrize(
    ("name", "letter"),
    [("bert", "s"), ("fnet", "r"), ("linear", "l"), ("hartley", "h"), ("circulant", "c")]
    + [("toeplitz", "t")],
)
def test_the_models_of_berts_size_differ_by_their_mixing_alone(name, letter):
    sizes = presets.get(f"{name}_base")
    assert sizes.pop("architecture") == f"12*({letter}f)"
    bert = presets.get("bert_base")
    assert sizes == {key: bert[key] for key in sizes}


def test_a_preset_may_be_changed_by_its_taker():
    presets.get("bert_base")["d_model"] = 1
    assert presets.get("bert_base")["d_model"] == 768


def test_an_unknown_preset_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="--preset=fnet is unknown; did you mean fnet_base?"):
        presets.get("fnet")
