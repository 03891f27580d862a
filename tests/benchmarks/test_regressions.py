import json
import sys

import pytest

from benchmarks import regressions


@pytest.mark.parametrize(
    ("now", "before", "worse"),
    [
        ([2.0, 2.1, 1.9], [2.0, 2.2, 1.8], False),
        ([1.5, 1.6, 1.4], [2.0, 2.2, 1.8], True),
        ([1.7, 2.1, 1.7], [2.0, 2.2, 1.8], False),
        ([2.5, 2.6, 2.4], [2.0, 2.2, 1.8], False),
    ],
)
def test_a_ratio_is_worse_when_it_fell_by_more_than_both_spreads(now, before, worse):
    assert regressions.is_worse(now, before) is worse


def test_the_program_names_what_is_worse_and_exits_1(tmp_path, monkeypatch, capsys):
    ratios = {
        "before": {"a": [2.0, 2.2], "b": [3.0, 3.1]},
        "now": {"a": [2.1, 2.1], "b": [1.0, 1.1]},
    }
    for name, of_name in ratios.items():
        file = {"machine": f"{name}, 2 cores", "ratios": of_name}
        (tmp_path / f"{name}.json").write_text(json.dumps(file))
    arguments = ["regressions", f"{tmp_path}/now.json", f"--baseline={tmp_path}/before.json"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert regressions.main() == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("now, 2 cores") and said[1].endswith("before, 2 cores")
    assert said[2].startswith("as before") and said[3].startswith("worse")


def test_a_file_of_something_else_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "old.json").write_text(json.dumps({"a": [2.0, 2.2]}))
    monkeypatch.setattr(sys, "argv", ["regressions", f"{tmp_path}/old.json"])
    with pytest.raises(SystemExit):
        regressions.main()
    assert "old.json names no machine" in capsys.readouterr().err
