"""Answers requests from a SavedModel, as a server would: nothing of this package is imported.

`reloading.py` starts it with the folder of the SavedModel and one of requests. A request is a
folder with `request.json` and one file for each input; its answer is put beside them.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import tensorflow as tf
import tensorflow_text  # noqa: F401, its operations are in the graph


def main(saved_model: str, requests: str) -> None:
    signatures = tf.saved_model.load(saved_model).signatures
    for folder in sorted(Path(requests).iterdir()):
        request = json.loads((folder / "request.json").read_text())
        ask = signatures[request["signature"]]
        inputs = {
            name: tf.io.parse_tensor((folder / f"{name}.input").read_bytes(), dtype)
            for name, dtype in request["inputs"].items()
        }
        outputs = ask(**inputs)
        for name, value in outputs.items():
            (folder / f"{name}.output").write_bytes(tf.io.serialize_tensor(value).numpy())
        answer = {"outputs": {name: value.dtype.name for name, value in outputs.items()}}
        if request["repeats"]:
            answer["seconds"] = statistics.median(
                _seconds(ask, inputs) for _ in range(request["repeats"])
            )
        (folder / "answer.json").write_text(json.dumps(answer))


def _seconds(ask, inputs: dict) -> float:
    start = time.perf_counter()
    for value in ask(**inputs).values():
        value.numpy()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
