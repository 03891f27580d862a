import pytest

from pipelines.progress import Progress


def test_a_pass_ends_at_its_whole_with_all_that_was_counted(capsys):
    with Progress("reading") as progress:
        progress.add(documents=1500, characters=2_000_000, fraction=0.4)
        progress.add(documents=500, characters=1_000_000, fraction=0.9)
    shown = capsys.readouterr().err.strip().split("\r")[-1]
    assert shown.startswith("reading 100%")
    assert "2,000 documents, 3.0 MB" in shown


def test_a_pass_that_fails_does_not_claim_to_be_whole(capsys):
    with pytest.raises(RuntimeError), Progress("reading") as progress:
        progress.add(documents=1, characters=1000, fraction=0.25)
        raise RuntimeError
    assert "100%" not in capsys.readouterr().err
