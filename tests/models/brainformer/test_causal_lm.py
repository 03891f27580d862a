"""The language model continues texts, from a memory that does not grow with them."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from sparse_mixer_tf.models import BrainformerCausalLM
from sparse_mixer_tf.models.brainformer.causal_lm import PROMPT_BLOCK
from tests.long_cases import long_cases
from tests.models import small_brainformer
from tests.models.small_brainformer import TOP_2

VOCABULARY = 13


def make(architecture="sgf.sf", seed=1, **options):
    given = {
        "vocabulary_size": VOCABULARY,
        "attn_span": 6,
        "routing": {**TOP_2, "num_experts": 4},
        "share_block_weights": True,
        **options,
    }
    return BrainformerCausalLM(small_brainformer.make(architecture, seed, **given))


@pytest.fixture(scope="module")
def lm():
    return make()


def prompts(*lengths):
    rng = np.random.default_rng(0)
    return [rng.integers(0, VOCABULARY, length).tolist() for length in lengths]


def greedy_by_hand(lm, prompt, max_length):
    """Each token from the whole text read anew in one block."""
    text = list(prompt)
    while len(text) < max_length:
        inputs = {"token_ids": tf.constant([text]), "memory": lm.backbone.no_memory(1)}
        text.append(int(np.argmax(np.asarray(lm(inputs)["logits"])[0, -1])))
    return text


def test_outputs_are_logits_and_memory(lm):
    outputs = lm({"token_ids": tf.ones((2, 5), tf.int32), "memory": lm.backbone.no_memory(2)})
    assert outputs["logits"].shape == (2, 5, VOCABULARY)
    assert outputs["logits"].dtype == tf.float32
    assert outputs["memory"].shape == (2, 2, 6, 8)


@pytest.mark.parametrize("attend_to_self", [True, *long_cases(False)])
def test_greedy_texts_are_those_of_reading_everything_anew(attend_to_self):
    # Where `s` comes first, so that shared blocks remember the rows that it reads.
    lm = make("sf.sgf", attn_span=32, attend_to_self=attend_to_self)
    given = prompts(1, 9, 9, 14)
    texts = lm.generate(given, 20, sampler="greedy")
    assert texts.shape == (4, 20)
    for prompt, text in zip(given, texts, strict=True):
        assert text.tolist() == greedy_by_hand(lm, prompt, 20)


def test_a_long_prompt_is_read_into_memory_block_by_block(lm):
    length = PROMPT_BLOCK + 46
    [prompt] = prompts(length)
    inputs = {
        "token_ids": np.array([prompt + [0] * 3]),
        "padding_mask": np.arange(length + 3)[None] < length,
    }
    memory = lm.read(inputs)
    whole = {"token_ids": tf.constant([prompt[:-1]]), "memory": lm.backbone.no_memory(1)}
    np.testing.assert_allclose(memory, lm(whole)["memory"], atol=1e-5)
    [text] = lm.generate([prompt], length + 3, sampler="greedy")
    assert text.tolist() == greedy_by_hand(lm, prompt, length + 3)


@pytest.mark.parametrize(
    "sampler",
    [
        lambda seed: keras_hub.samplers.RandomSampler(temperature=2.0, seed=seed),
        *long_cases(
            lambda seed: keras_hub.samplers.TopKSampler(k=5, temperature=2.0, seed=seed),
            lambda seed: keras_hub.samplers.TopPSampler(p=0.95, temperature=2.0, seed=seed),
        ),
    ],
)
def test_samplers_follow_their_seed(lm, sampler):
    given = prompts(4)

    def text(seed):
        return lm.generate(given, 30, sampler=sampler(seed))[0].tolist()

    assert text(1) == text(1)
    assert text(1) != text(2)
    assert text(1)[:4] == given[0]


@pytest.mark.long("compiles two more loops of generation")
def test_a_low_temperature_is_nearly_greedy(lm):
    given = prompts(4, 7)
    cold = keras_hub.samplers.RandomSampler(temperature=1e-4, seed=1)
    greedy = lm.generate(given, 16, sampler="greedy")
    np.testing.assert_array_equal(lm.generate(given, 16, sampler=cold), greedy)


def test_a_text_stops_at_a_stop_token_and_a_prompt_can_be_stripped(lm):
    [prompt] = prompts(5)
    [text] = lm.generate([prompt], 12, sampler="greedy")
    [stripped] = lm.generate([prompt], 12, sampler="greedy", strip_prompt=True)
    assert stripped.tolist() == text[5:].tolist()
    padded = {
        "token_ids": np.array([prompt + [0] * 7]),
        "padding_mask": np.arange(12)[None] < 5,
    }
    stop = int(text[6])
    outputs = lm.generate(padded, stop_token_ids=[stop])
    shown = outputs["token_ids"][outputs["padding_mask"]].tolist()
    place = text[5:].tolist().index(stop)
    assert shown == text[: 5 + place + 1].tolist()


def test_each_new_token_is_one_block_of_one_token(lm):
    blocks = []
    backbone_call = lm.backbone.call

    def spy(inputs, *args, **kwargs):
        blocks.append(inputs["token_ids"].shape[1])
        return backbone_call(inputs, *args, **kwargs)

    lm.backbone.call = spy
    try:
        lm.compile(sampler="greedy")
        for length in (40, 80):
            lm.generate(prompts(37), length)
    finally:
        lm.backbone.call = backbone_call
    # 36 tokens into memory; the loop over new tokens is traced, not unrolled.
    reading = [32, 4]
    assert [n for n in blocks if n > 1] == reading * 2
    assert 1 <= blocks.count(1) <= 4


@pytest.mark.parametrize(
    "given, max_length, message",
    [
        ([[1, 2]], None, "max_length=None does not fit"),
        ([[1, 2], []], 5, r"prompts of \[2, 0\] tokens do not fit: expected 1 to max_length=5"),
        ([[1, 2, 3]], 2, r"prompts of \[3\] tokens do not fit"),
        ([], 2, r"prompts of \[\] tokens do not fit"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(lm, given, max_length, message):
    with pytest.raises(ValueError, match=message):
        lm.generate(given, max_length)


def test_a_saved_model_comes_back_and_continues_alike(lm, tmp_path):
    lm.save(tmp_path / "lm.keras")
    loaded = keras.models.load_model(tmp_path / "lm.keras")
    assert loaded.get_config() == lm.get_config()
    given = prompts(3, 5)
    np.testing.assert_array_equal(
        loaded.generate(given, 20, sampler="greedy"), lm.generate(given, 20, sampler="greedy")
    )


def test_a_preset_directory_gives_the_same_model(lm, tmp_path):
    lm.save_to_preset(tmp_path)
    loaded = BrainformerCausalLM.from_preset(str(tmp_path))
    inputs = {"token_ids": tf.ones((2, 5), tf.int32), "memory": lm.backbone.no_memory(2)}
    np.testing.assert_array_equal(loaded(inputs)["logits"], lm(inputs)["logits"])


def test_fit_learns_a_text_by_heart():
    lm = make("sf", attn_span=8)
    lm.compile(optimizer=keras.optimizers.Adam(0.03), jit_compile=False)
    text = np.tile(np.arange(VOCABULARY), 4)[None].repeat(4, axis=0)
    inputs = {"token_ids": text[:, :-1], "memory": np.asarray(lm.backbone.no_memory(4))}
    history = lm.fit(inputs, text[:, 1:], epochs=30, batch_size=4, shuffle=False, verbose=0)
    assert history.history["loss"][-1] < 0.3 < history.history["loss"][0]
    [text] = lm.generate([[3, 4, 5]], 9, sampler="greedy")
    assert text.tolist() == [3, 4, 5, 6, 7, 8, 9, 10, 11]
