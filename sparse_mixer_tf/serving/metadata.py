"""Facts of a served model, as plain data: for clients, and for its card."""

from pipelines.datasets.classification import segment_names
from sparse_mixer_tf.serving.saved_model import ServedModel
from sparse_mixer_tf.serving.signatures.classifier import segment_inputs


def model_facts(task, step: int) -> dict:
    """Return the facts that answers depend on: task, labels, inputs for texts, fingerprints.

    Args:
        task: restored.
        step: of its weights.
    """
    data, facts = task.data_settings, {"task": task.settings.task, "step": step}
    if task.settings.task == "classify":
        facts["labels"] = list(task.labels)
        facts["segments"] = segment_inputs(segment_names(data))
    else:
        facts["segments"] = {"text": data.text_field}
    if task.settings.task == "causal_lm":
        facts["tokenizer"] = data.tokenizer
    else:
        facts["max_seq_length"] = data.max_seq_length
    return facts | {
        "vocabulary": task.vocabulary_file.rpartition("/")[2],
        "vocabulary_size": task.vocabulary.size,
        "vocabulary_fingerprint": task.facts["vocabulary_fingerprint"],
        "data_fingerprint": task.facts["data_fingerprint"],
        "dataset": data.dataset,
    }


def signature_facts(served: ServedModel) -> dict:
    """Of every signature the inputs and outputs: dtype, shape, and what they mean."""
    found = {}
    for name, signature in served.explained_signatures.items():
        explained, outputs = signature.explained, served.concrete(name).structured_outputs
        found[name] = {
            "inputs": {key: _field(spec) for key, spec in signature.inputs.items()},
            "outputs": {key: _field(outputs[key]) for key in explained if key in outputs},
        }
        for side in found[name].values():
            for key, field in side.items():
                field["about"] = explained[key]
                if key in signature.per_request:
                    field["shape"] = "[] or [batch]"
    return found


def _field(spec) -> dict:
    sizes = ["batch", *spec.shape[1:]] if spec.shape.rank else []
    shown = ", ".join("any" if size is None else str(size) for size in sizes)
    return {"dtype": spec.dtype.name, "shape": f"[{shown}]"}
