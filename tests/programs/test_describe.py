import importlib.util
import re

import pytest

from pipelines.settings import DataSettings
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings
from sparse_mixer_tf.tasks import TASKS

DESCRIBE = "sparse_mixer_tf.describe"
# What this file says of a model holds for this one.
LGSF = ("--architecture=lgsf", "--d_model=16", "--d_ff=32")
SIZES = {"d_model": 16, "d_ff": 32, "num_heads": 2, "num_experts": 4}
CAUSAL = {
    "architecture": "sgfgf.sf", "share_block_weights": True, "router": "dropless", "attn_span": 16,
    "initializer": "torch",
}  # fmt: skip
GATED = {"norm": "pre", "activation": "gated_gelu", "adapt_span": True}


def test_describe_shows_settings_table_capacity_and_a_batch(programs):
    code, output = programs.run(DESCRIBE, *programs.small, *LGSF)
    assert code == 0, output
    assert "--d_model=16" in output and "--seed=0" in output
    for name in ("embedding", "sublayer_00_l", "sublayer_01_g", "sublayer_02_s", "pooler", "heads"):
        assert re.search(rf"^  {name} ", output, re.M), name
    # 8 sequences of 32 tokens over 4 experts.
    assert "64 tokens an expert, 4 experts, 1 group(s) of 256 tokens" in output
    assert "MiB: weights" in output and "about 900 MiB more" in output
    assert re.search(r"token_ids +int32 \[8, 32\]", output)
    assert "[CLS]" in output and "[MASK]" in output and "order label:" in output


@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("pretrain", {"architecture": "lgsf"}),
        ("classify", {"architecture": "gs"}),
        ("causal_lm", CAUSAL),
        ("causal_lm", CAUSAL | GATED),
    ],
)
def test_the_parameters_that_describe_counts_are_those_of_the_model(task, model):
    training = TrainingSettings(task=task, train_batch_size=4, eval_batch_size=4)
    tokenizer = "byte" if task == "causal_lm" else "sentencepiece"
    data = DataSettings(max_seq_length=32, vocab_size=64, block_size=16, tokenizer=tokenizer)
    made = TASKS[task](ModelSettings(**SIZES | model), training, data)
    made.suppose_data()
    made.build()
    counted = sum(row.parameters for row in made.cost_table(128))
    assert counted == made.model.count_params()


def test_describe_needs_no_data_when_no_batch_is_shown(programs):
    code, output = programs.run(DESCRIBE, "--preset=bert_base", "--noshow_batch", "--dataset=c4/en")
    assert code == 0, output
    assert "111,835,138" in output and "--architecture=12*(sf)" in output


def test_describe_knows_classifiers(programs):
    rows = programs.folder / "labelled.tsv"
    rows.write_text(
        "text\tlabel\n"
        + "".join(f"The cat sees {n} dogs.\tyes\nA tree of {n}.\tno\n" for n in range(30))
    )
    code, output = programs.run(
        DESCRIBE, *programs.small, "--task=classify", f"--dataset={rows}",
        "--text_fields=text", *LGSF,
    )  # fmt: skip
    assert code == 0, output
    assert re.search(r"^  head +classes +\[16, 2\] +34 ", output, re.M)
    assert "labels: no, yes" in output
    assert re.search(r"\[CLS\] .*\[SEP\]\n  label: (yes|no)", output)


def test_describe_knows_language_models(programs):
    code, output = programs.run(
        DESCRIBE, *programs.data, "--task=causal_lm", "--tokenizer=byte",
        "--architecture=sgfgf.sf", "--share_block_weights", "--d_model=16", "--d_ff=32",
        "--num_heads=2", "--num_experts=4", "--router=dropless", "--attn_span=16",
        "--block_size=16", "--train_batch_size=2", "--eval_batch_size=2", "--norm=pre",
        "--activation=gated_gelu", "--adapt_span",
    )  # fmt: skip
    assert code == 0, output
    assert "sublayer_03_g" in output and "(weights reused)" in output
    assert re.search(r"token_ids +int32 \[2, 16\]", output)


def test_a_run_has_as_many_parameters_as_its_flagfile_is_described_with(programs, writer):
    workdir, trained = writer
    code, output = programs.run(DESCRIBE, f"--flagfile={workdir / 'run.flags'}")
    assert code == 0, output
    assert f": {re.search(r'Parameters +([0-9,]+),', output)[1]} parameters" in trained


def test_a_run_is_described_by_its_flagfile_and_never_by_the_defaults(programs, tmp_path):
    code, output = programs.run(DESCRIBE, f"--workdir={tmp_path}")
    assert code == 2 and f"--flagfile={tmp_path}/run.flags" in output, output


def test_help_names_the_folder_of_the_run(programs):
    _, output = programs.run("sparse_mixer_tf.export", "--help")
    assert "--workdir" in output and "--output" in output, output


@pytest.mark.long("compiles three programs for a TPU")
def test_describe_asks_the_tpu_compiler(programs):
    for package in ("jax", "libtpu"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install -r requirements-tpu-compile.txt")
    code, output = programs.run(
        DESCRIBE, *programs.small, "--noshow_batch", "--tpu_topology=v5e:2x2",
        "--architecture=f", "--optimizer=sgd",
    )  # fmt: skip
    assert code == 0, output
    for name, rows in {"train step": 2, "evaluation step": 2, "serving": 2}.items():
        assert re.search(
            rf"^{name} +{rows} +[\d.]+ +[\d.]+ +[\d.]+ fits( +[\d.]+ (mem|mxu)){{3}}", output, re.M
        )
    assert "what chips send each other is left out" in output and "no measurement" in output


def test_describe_refuses_a_tpu_that_is_none_before_anything_else(programs):
    for topology, words in {
        "v4:2x2": "use one such as v5e:2x2",
        "v5e:4x4": "--train_batch_size=8 is not divisible by 16",
    }.items():
        code, output = programs.run(DESCRIBE, *programs.small, f"--tpu_topology={topology}")
        assert code == 2 and words in output and "Settings" not in output, output


def test_a_run_in_a_bucket_is_refused_with_what_to_do_instead(programs):
    code, output = programs.run(
        "sparse_mixer_tf.train", *programs.small, "--workdir=gs://bucket/run"
    )
    assert code == 2 and "configs/tpu/on_host.sh" in output
