"""Check of ratios against `baseline.json`: a ratio may fall by its spread and no more.

    python -m benchmarks.compare --json=now.json [the flags of the baseline]
    python -m benchmarks.regressions now.json [--baseline=benchmarks/baseline.json]

Both files hold, for each contestant, how many times as fast as BERT it was in each round, and name
their machine: a processor of another kind has other ratios, so measure a baseline of its own there,
on the commit to compare with. A ratio is worse where its median lies below every round of the
baseline and every round of it below the baseline's median. Exits 1 if one is.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

BASELINE = Path(__file__).parent / "baseline.json"


def is_worse(now: list[float], before: list[float]) -> bool:
    """Return whether a ratio fell by more than both spreads explain."""
    return statistics.median(now) < min(before) and max(now) < statistics.median(before)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("now", type=Path)
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    options = parser.parse_args()
    files = [json.loads(path.read_text()) for path in (options.now, options.baseline)]
    for path, file in zip((options.now, options.baseline), files, strict=True):
        if not {"machine", "ratios"} <= file.keys():
            parser.error(f"{path} names no machine and ratios; write it with compare --json={path}")
    print("now:     ", files[0]["machine"])
    print("baseline:", files[1]["machine"])
    now, before = (file["ratios"] for file in files)
    common = [name for name in before if name in now]
    if not common:
        parser.error(f"{options.now} and {options.baseline} have no contestant in common")
    worse = [name for name in common if is_worse(now[name], before[name])]
    for name in common:
        print(
            f"{'worse' if name in worse else 'as before':9} {statistics.median(now[name]):6.2f} "
            f"was {statistics.median(before[name]):6.2f} "
            f"({min(before[name]):.2f} to {max(before[name]):.2f})  {name}"
        )
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
