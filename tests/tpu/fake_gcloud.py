"""A `gcloud` of folders: a TPU's host is `VM`, a bucket is a folder of `BUCKETS`; calls are logged.

Only commands and flags that the real one has (Google Cloud SDK reference) are taken.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

VM, BUCKETS, LOG = (Path(os.environ[name]) for name in ("FAKE_VM", "FAKE_BUCKETS", "FAKE_LOG"))
FLAGS = {
    "compute tpus tpu-vm create": {"zone", "accelerator-type", "version", "spot"},
    "compute tpus tpu-vm delete": {"zone", "quiet"},
    "compute tpus tpu-vm describe": {"zone", "format"},
    "compute tpus tpu-vm ssh": {"zone", "worker", "command"},
    "compute tpus tpu-vm scp": {"zone", "worker", "recurse"},
    "storage ls": set(),
    "storage rsync": {"recursive", "exclude", "delete-unmatched-destination-objects"},
}


def local(place: str) -> Path:
    return BUCKETS / place.removeprefix("gs://") if place.startswith("gs://") else Path(place)


def main(arguments: list[str]) -> int:
    command = next(name for name in FLAGS if " ".join(arguments).startswith(name))
    rest = arguments[len(command.split()) :]
    flags = dict(a[2:].partition("=")[::2] for a in rest if a.startswith("--"))
    places = [a for a in rest if not a.startswith("--")]
    unknown = set(flags) - FLAGS[command]
    if unknown:
        print(f"gcloud {command} has no flag {unknown}", file=sys.stderr)
        return 2
    with open(LOG, "a") as log:
        log.write(json.dumps([command, flags, places]) + "\n")
    verb = command.split()[-1]
    if verb == "create":
        VM.mkdir()
    elif verb == "delete":
        shutil.rmtree(VM, ignore_errors=True)
    elif verb == "describe":
        if not VM.exists():
            return 1
        print("PREEMPTED" if (VM / "gone").exists() else "READY")
    elif verb == "ssh":
        return subprocess.run(["bash", "-c", flags["command"]], cwd=VM).returncode
    elif verb == "scp":
        for source in places[:-1]:
            target = VM / places[-1].split(":")[1] / source
            (shutil.copytree if Path(source).is_dir() else shutil.copy)(source, target)
    elif verb == "ls":
        return 0 if local(places[0]).exists() else 1
    elif verb == "rsync":
        _rsync(*map(local, places), flags)
    return 0


def _rsync(source: Path, target: Path, flags: dict) -> None:
    files = {p.relative_to(source) for p in source.rglob("*") if p.is_file()}
    kept = {f for f in files if not re.match(flags.get("exclude", "$^"), str(f))}
    for file in kept:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, target / file)
    if "delete-unmatched-destination-objects" in flags:
        for path in list(target.rglob("*")):
            if path.is_file() and path.relative_to(target) not in kept:
                path.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
