"""What a checkpoint says of itself, sealed: a bit that has changed is found."""

import hashlib
import json
from pathlib import Path

MANIFEST = "manifest.json"
_SEAL = "seal"


def write(folder: Path, facts: dict) -> None:
    """Writes the manifest of a checkpoint.

    Args:
        facts: go to JSON; the step among them.
    """
    facts = json.loads(json.dumps(facts))
    (folder / MANIFEST).write_text(json.dumps(facts | {_SEAL: _seal(facts)}, indent=1), "utf-8")


def read(folder: Path) -> dict:
    """The facts of a checkpoint, whose folder is named after its step.

    Raises:
        OSError: there is no manifest, or it cannot be read.
        ValueError: it is not as it was written.
    """
    try:
        facts = json.loads((folder / MANIFEST).read_text("utf-8"))
    except RecursionError:
        raise ValueError("its manifest has no end") from None
    if not isinstance(facts, dict) or facts.get("step") != int(folder.name):
        raise ValueError("its manifest is of something else")
    # Checkpoints of earlier versions have none.
    if facts.pop(_SEAL, seal := _seal(facts)) != seal:
        raise ValueError("its manifest was changed")
    return facts


def _seal(facts: dict) -> str:
    bare = {name: value for name, value in facts.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()
