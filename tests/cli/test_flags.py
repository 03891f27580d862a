"""Flags that are given count: the last one of two rivals, and none without effect."""

import pytest
from absl import flags
from absl.testing import flagsaver

import sparse_mixer_tf.cli.flags as package_flags
from sparse_mixer_tf.cli.app import last_one_counts
from sparse_mixer_tf.settings import SettingsError


@pytest.fixture
def parse():
    """Parse arguments as a program does; flags are as they were afterwards."""
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()

        def parse(*arguments):
            flags.FLAGS(last_one_counts(["program", *arguments]))

        yield parse
        flags.FLAGS(["program"])


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["--train_epochs=3", "--train_steps=60"], ["--train_steps=60"]),
        (["--train_steps=60", "--train_epochs=3"], ["--train_epochs=3"]),
        (["--train_epochs", "3", "--train_steps", "60"], ["--train_steps", "60"]),
        (
            ["--seed=1", "--train_steps=6", "--train_epochs=3", "--train_steps=6"],
            ["--seed=1", "--train_steps=6", "--train_steps=6"],
        ),
        (["--warmup_proportion=0.1", "--warmup_steps=5"], ["--warmup_steps=5"]),
        (["--warmup_steps=5", "--warmup_proportion=0.1"], ["--warmup_proportion=0.1"]),
        (["--init_checkpoint=a", "--init_checkpoint="], []),
        (
            ["--init_checkpoint=", "--init_checkpoint=a"],
            ["--init_checkpoint=", "--init_checkpoint=a"],
        ),
        (["--dataset=", "--seed=1"], ["--dataset=", "--seed=1"]),
        (["runs/a", "--nojit", "runs/b"], ["runs/a", "--nojit", "runs/b"]),
    ],
)
def test_the_last_of_two_rivals_counts_and_an_empty_value_unsets(arguments, kept):
    assert last_one_counts(["program", *arguments]) == ["program", *kept]


def test_steps_given_after_a_flagfile_with_epochs_are_the_steps_of_the_run(parse, tmp_path):
    path = tmp_path / "a.flags"
    path.write_text("--train_epochs=3\n--warmup_proportion=0.1\n--init_checkpoint=x\n")
    found = flags.FLAGS.read_flags_from_files([f"--flagfile={path}", "--train_steps=60"], False)
    parse(*found, "--warmup_steps=4", "--init_checkpoint=")
    settings = package_flags.training_settings().scheduled(10_000)
    assert (settings.train_steps, settings.warmup_steps) == (60, 4)
    assert flags.FLAGS.init_checkpoint is None
    assert "--train_epochs=3.0" not in package_flags.given()


def test_a_warm_up_longer_than_the_training_is_shortened_and_said(parse, capsys):
    parse("--train_steps=60", "--warmup_steps=100")
    assert package_flags.training_settings().warmup_steps == 6
    assert (
        "note: --warmup_steps=100 is more than --train_steps=60; 6 are" in capsys.readouterr().err
    )


def test_a_flag_without_effect_is_refused_by_name(parse):
    parse("--workdir=a", "--seed=3")
    with pytest.raises(SettingsError, match="--seed has no effect on evaluate, which takes it"):
        package_flags.refuse_without_effect(["workdir"], "evaluate")
    parse("--workdir=a", "--nomark_spans")
    with pytest.raises(SettingsError, match="--mark_spans has no effect"):
        package_flags.refuse_without_effect(["workdir", "seed"], "evaluate")
