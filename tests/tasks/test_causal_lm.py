import math

import numpy as np
import pytest
import tensorflow as tf

from pipelines.settings import DataSettings
from sparse_mixer_tf.settings import ModelSettings, SettingsError, TrainingSettings
from sparse_mixer_tf.tasks import LanguageModel
from sparse_mixer_tf.tasks.generation import SAMPLERS, continue_texts, make_sampler, sample_lines
from sparse_mixer_tf.training.eval_step import EvaluationStep, evaluation_sums
from tests.long_cases import quick_among

MODEL = {
    "architecture": "sgf.sf",
    "d_model": 16,
    "d_ff": 24,
    "num_heads": 2,
    "num_experts": 4,
    "router": "dropless",
    "gate": "top_k",
    "num_selected_experts": 2,
    "attn_span": 256,
    "dropout_rate": 0.0,
}


@pytest.fixture
def make_task(tmp_path):
    text = tmp_path / "text.txt"
    words = np.random.default_rng(0).choice(["river", "stone", "walks", "quietly"], 3000)
    text.write_text(" ".join(words) + "\n")

    def make(model=(), **data):
        settings = {
            "dataset": str(text),
            "cache_dir": str(tmp_path / "cache"),
            "tokenizer": "character",
            "block_size": 32,
        }
        task = LanguageModel(
            ModelSettings(**MODEL | dict(model)),
            TrainingSettings(task="causal_lm", eval_batch_size=4, train_batch_size=4),
            DataSettings(**settings | data),
        )
        task.open_data()
        task.build()
        task.static_choices(0)
        return task

    return make


def scored(task, num_batches=None, splits=()):
    step = EvaluationStep(
        task.evaluation_sums, tf.distribute.get_strategy(), initial_memory=task.initial_memory
    )
    return evaluation_sums(task.evaluation_stream(num_batches, splits), step)


def test_every_symbol_of_a_split_but_the_first_is_scored_once(make_task):
    task = make_task()
    for split in ("validation", "test"):
        sums = scored(task, splits=(split,))
        assert sums["tokens"]["count"] == len(task._corpus.splits[split]) - 1


def test_an_untrained_model_needs_about_the_bits_of_its_alphabet_and_the_ngram_fewer(make_task):
    task = make_task()
    summary = task.summary(scored(task))
    assert summary["bits_per_character"] == pytest.approx(summary["loss"] / math.log(2))
    assert summary["bits_per_character"] > math.log2(task.vocabulary.size) - 1
    assert 0 < summary["ngram_bits_per_character"] < 1.5


def test_with_a_stride_the_score_does_not_depend_on_the_batch_size(make_task):
    losses = []
    for batch in (3, 8):
        task = make_task(eval_stride=32, block_size=64)
        rng = np.random.default_rng(1)
        task.model.set_weights([rng.normal(size=w.shape) * 0.3 for w in task.model.get_weights()])
        task.settings = TrainingSettings(task="causal_lm", eval_batch_size=batch)
        losses.append(task.summary(scored(task))["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_attention_looks_no_further_than_its_spans_need_and_functions_know(make_task):
    task = make_task({"adapt_span": True, "adapt_span_ramp": 8})
    spans, selected = task.static_choices(0)
    assert spans == (64, 64) and selected == 2
    reach = next(w for w in task.model.weights if w.path.endswith("reach"))
    reach.assign(np.full(reach.shape, 0.5, "float32"))
    assert task.static_choices(1)[0] == (256, 64)
    assert [a.attended_span for a in task.model.backbone.attentions.values()] == [256, 64]
    assert task.summary(scored(task, 1))["learned_spans"]["sublayer_00_s"] == [128.0, 128.0]


def test_the_experts_of_a_token_grow_over_the_run(make_task):
    task = make_task({"gate": "frozen_random", "first_selected_experts": 1})
    task.settings = TrainingSettings(task="causal_lm", train_steps=100, warmup_steps=0)
    assert [task.static_choices(step)[1] for step in (0, 49, 51, 100)] == [1, 1, 2, 2]


def test_words_are_scored_by_perplexity(make_task):
    task = make_task(tokenizer="word")
    summary = task.summary(scored(task))
    assert "bits_per_character" not in summary
    assert summary["perplexity"] == pytest.approx(math.exp(summary["loss"]))


@pytest.mark.parametrize("name", quick_among(["top_p"], SAMPLERS))
def test_a_prompt_is_continued_by_as_many_symbols_and_alike_each_time(make_task, name):
    task = make_task()
    prompts = ["river stone ", "q"]
    once, again = (
        continue_texts(task.model, task.vocabulary, prompts, 10, make_sampler(name, seed=3))
        for _ in "12"
    )
    assert once == again
    assert [answer["prompt"] for answer in once] == prompts
    assert all(len(answer["continuation"]) == 10 for answer in once)
    assert sample_lines(once)[1].startswith("  q│")
    assert sample_lines([{"prompt": "a\n", "continuation": "\x1b[2Jb"}]) == ["  a⏎│\ufffd[2Jb"]


def test_what_looks_ahead_is_refused_by_name(make_task):
    with pytest.raises(SettingsError, match="--task=causal_lm.*experts_choose"):
        make_task({"router": "experts_choose", "gate": "softmax"})
    with pytest.raises(SettingsError, match="linear mixing"):
        make_task({"architecture": "sflf"})
