"""A Python whose environments are copies of itself and whose trainer makes a file each start.

The first start is interrupted, the second meets the end of its machine, the third ends the run.
"""

import json
import os
import shutil
import sys
from pathlib import Path


def train(arguments: list[str]) -> int:
    flags = dict(a[2:].partition("=")[::2] for a in arguments)
    workdir = Path(flags["workdir"])
    found = sorted(path.name for path in workdir.glob("checkpoint-*"))
    with open(os.environ["FAKE_STARTS"], "a") as starts:
        starts.write(json.dumps([found, arguments]) + "\n")
    (workdir / f"checkpoint-{len(found)}").write_text("whole")
    (workdir / ".writing-9").write_text("half")
    if len(found) == 1:
        (Path(os.environ["FAKE_VM"]) / "gone").touch()
    return [75, 1, 0][len(found)]


def main(this: str, module: str, arguments: list[str]) -> int:
    if module == "sparse_mixer_tf.train":
        return train(arguments)
    if module == "venv":
        (Path(arguments[0]) / "bin").mkdir(parents=True)
        shutil.copy(this, Path(arguments[0]) / "bin" / "python")
    else:
        assert module == "pip" and "install" in arguments, module
    return 0


if __name__ == "__main__":
    this, dash_m, module, *arguments = sys.argv[1:]
    assert dash_m == "-m", sys.argv
    sys.exit(main(this, module, arguments))
