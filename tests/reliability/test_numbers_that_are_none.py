"""A learning rate so high that the loss becomes NaN."""

from tests.reliability.conftest import Run, metrics

WILD = (
    "--learning_rate=1e30",
    "--warmup_steps=4",
    "--train_steps=16",
    "--learning_rate_decay=constant",
    "--log_every=5",
)


def test_a_loss_that_is_no_number_stops_the_run_by_default(programs):
    run = Run(programs, "stops", *WILD, eager=True)
    code, output = run.finish()
    assert code == 1
    assert "error: step 2: loss nan" in output or "error: step 2: loss inf" in output
    assert "--on_nonfinite=skip" in output and "Traceback" not in output
    assert not (run.workdir / "checkpoints").exists()


def test_skipping_is_bounded(programs):
    skipping = ("--on_nonfinite=skip", "--max_skips_in_a_row=3")
    run = Run(programs, "skips", *WILD, *skipping, eager=True)
    code, output = run.finish()
    assert code == 1
    assert "step 4: loss" in output and "not applied" in output
    assert "--max_skips_in_a_row=3 allows no more" in output
    assert 1 not in metrics(run.workdir)
