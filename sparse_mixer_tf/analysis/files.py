"""The two files of an inspection: what can be read in `inspection.json`, arrays in a `.npz`."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from sparse_mixer_tf.training.workdir import write_atomically

FOLDER, RECORD, ARRAYS = "report", "inspection.json", "inspection.npz"


def write(workdir: Path, record: dict, arrays: dict[str, np.ndarray]) -> None:
    """Writes both; the arrays first, so that a record never speaks of arrays to come.

    Args:
        record: goes to JSON; has a `step`.
        arrays: by name, in any shapes.
    """
    folder = Path(workdir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez_compressed(content, step=np.array(record["step"]), **arrays)
    write_atomically(folder / ARRAYS, content.getvalue())
    write_atomically(folder / RECORD, json.dumps(record, ensure_ascii=False) + "\n")


def read(workdir: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The record and the arrays of a run; empty where there are none, or they cannot be read.

    Arrays of another step than the record's are left out.
    """
    folder = Path(workdir) / FOLDER
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}, {}
    try:
        with np.load(folder / ARRAYS, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return record, {}
    return record, arrays if arrays.pop("step", None) == record["step"] else {}
