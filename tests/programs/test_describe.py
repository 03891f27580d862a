import re

import pytest

pytestmark = pytest.mark.slow


def test_describe_shows_settings_table_capacity_and_a_batch(programs):
    code, output = programs.run("sparse_mixer_tf.describe", *programs.small)
    assert code == 0, output
    assert "--d_model=16" in output and "--seed=0" in output
    for name in ("embedding", "sublayer_00_l", "sublayer_01_g", "sublayer_02_s", "pooler", "heads"):
        assert re.search(rf"^  {name} ", output, re.M), name
    # 8 sequences of 32 tokens over 4 experts.
    assert "64 tokens an expert, 4 experts, 1 group(s) of 256 tokens" in output
    assert re.search(r"token_ids +int32 \[8, 32\]", output)
    assert "[CLS]" in output and "[MASK]" in output and "order label:" in output


def test_the_parameters_that_describe_counts_are_those_of_the_model(programs):
    _, described = programs.run("sparse_mixer_tf.describe", *programs.small)
    workdir = programs.folder / "counted"
    code, trained = programs.train(workdir, "--train_steps=1", "--warmup_steps=1")
    assert code == 0, trained
    counted = re.search(r"Parameters +([\d,]+),", described)[1]
    assert f"lgsf: {counted} parameters" in trained


def test_describe_needs_no_data_when_no_batch_is_shown(programs):
    code, output = programs.run(
        "sparse_mixer_tf.describe", "--preset=bert_base", "--noshow_batch", "--dataset=c4/en"
    )
    assert code == 0, output
    assert "111,835,138" in output and "--architecture=12*(sf)" in output
