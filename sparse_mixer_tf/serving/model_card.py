"""The model card of an export: everything in it was read from the run or measured at the export."""

import json
from pathlib import Path

TITLES = {
    "pretrain": "A masked language model",
    "classify": "A text classifier",
    "causal_lm": "A language model",
}
USES = {
    "pretrain": "filling in masked words, vectors of texts, and fine-tuning (from `keras_hub/`)",
    "classify": "texts of the kind that it was fine-tuned on",
    "causal_lm": "continuing texts of the kind that it was trained on, and scoring their symbols",
}
EXAMPLES = {
    "pretrain": 'text=tf.constant(["Returns the [MASK] of x."])',
    "causal_lm": 'text=tf.constant(["The function returns "])',
}


def card(name: str, facts: dict, settings: dict, scores: dict, measured: dict) -> str:
    """The text of the card.

    Args:
        name: of the run.
        facts: of `model_facts`, with `signatures`.
        settings: of the run, as it wrote them: sections of names and values.
        scores: held-out metrics at the step that is served; empty if nothing was scored.
        measured: `parameters`, `megabytes`, `seconds` by batch size, `machine`, `differences`
            (lines) and `texts` (where they are from).
    """
    parts = [
        f"# {name}",
        f"{TITLES[facts['task']]}: `{settings['model']['architecture']}`, "
        f"{measured['parameters']:,} parameters, trained on {facts['dataset']} and taken at step "
        f"{facts['step']:,}. This folder is a SavedModel that takes raw text; `keras_hub/` holds "
        "the same model as a KerasHub preset.",
        "## Ask it",
        _snippet(facts),
        "`tensorflow_text` must be imported: its operations tokenise inside the model.",
        "## Signatures",
        *[_signature(key, value) for key, value in facts["signatures"].items()],
        "## Measured",
        _table(
            ["held out, at this step", ""],
            [[key, _number(value)] for key, value in scores.items() if _is_scalar(value)],
        )
        if scores
        else "The run has no held-out score.",
        _table(
            ["here", ""],
            [
                ["parameters", f"{measured['parameters']:,}"],
                ["SavedModel", f"{measured['megabytes']:.1f} MB"],
                *[
                    [f"latency, batch of {rows}, median", f"{1e3 * seconds:.1f} ms"]
                    for rows, seconds in measured["seconds"].items()
                ],
                ["measured on", measured["machine"]],
            ],
        ),
        f"Answers of a fresh process were compared on {measured['texts']}; greatest absolute "
        "differences:",
        "\n".join(f"* {line}" for line in measured["differences"]),
        "## Intended use and limits",
        "\n".join(f"* {line}" for line in _limits(facts, settings)),
        "## What it was made of",
        _table(
            ["", ""],
            [
                ["vocabulary", f"`assets/{facts['vocabulary']}`, {facts['vocabulary_size']:,} ids"],
                ["vocabulary fingerprint", f"`{facts['vocabulary_fingerprint']}`"],
                ["data fingerprint", f"`{facts['data_fingerprint']}`"],
            ],
        ),
        _table(
            ["setting", ""],
            [
                [f"`{key}`", f"`{json.dumps(value, ensure_ascii=False)}`"]
                for section in ("model", "training", "data")
                for key, value in settings[section].items()
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def size_in_megabytes(folder: Path) -> float:
    """Of all files of a SavedModel."""
    own = [folder / "saved_model.pb", *folder.glob("variables/*"), *folder.glob("assets/*")]
    return sum(path.stat().st_size for path in own) / 1e6


def _snippet(facts: dict) -> str:
    inputs = EXAMPLES.get(facts["task"]) or ", ".join(
        f'{key}=tf.constant(["{what} …"])' for key, what in facts["segments"].items()
    )
    lines = [
        "import tensorflow as tf",
        "import tensorflow_text",
        "",
        'model = tf.saved_model.load(".")',
        f'print(model.signatures["serving_default"]({inputs}))',
    ]
    if facts["task"] == "causal_lm":
        choice = "length=80, temperature=0.8, top_k=0, top_p=0.9, seed=1"
        given = ", ".join(
            f"{key}=tf.constant({value})"
            for key, value in (pair.split("=") for pair in choice.split(", "))
        )
        lines.append(f'print(model.signatures["generate"]({inputs}, {given})["continuation"])')
    return "\n".join(["```python", *lines, "```"])


def _signature(name: str, signature: dict) -> str:
    rows = [
        [side, f"`{key}`", f"{field['dtype']} {field['shape']}", field["about"]]
        for side, fields in (("in", signature["inputs"]), ("out", signature["outputs"]))
        for key, field in fields.items()
    ]
    return f"### `{name}`\n\n" + _table(["", "name", "dtype and shape", "what it is"], rows)


def _limits(facts: dict, settings: dict) -> list[str]:
    model, task = settings["model"], facts["task"]
    lines = [
        f"Made for {USES[task]}; the scores above are of held-out text of {facts['dataset']} and "
        "say nothing of other text.",
        "Any number of rows is one batch, none included. No answer depends on the other rows, but "
        "for the last digits of sums.",
    ]
    if "g" in model["architecture"] and model["router"] != "dropless":
        lines.append(
            "Every token reaches the expert it chooses; in training a capacity refused some."
            if task == "causal_lm"
            else f"Each row is routed to the experts by itself. Training and evaluation routed up "
            f"to {model['max_group_size']} tokens of a batch together, so that their scores depend "
            "on the batch in a small measure that is given above."
        )
    if task == "causal_lm":
        lines.append(
            "A new symbol costs the same however long the text is; attention looks back "
            f"{model['attn_span']} symbols in each sublayer."
        )
        if facts["tokenizer"] in ("byte", "character", "word"):
            lines.append(
                "Symbols that were not in the training text are left out and counted in `unknown`."
            )
    else:
        lines.append(
            f"Texts are cut to {facts['max_seq_length']} tokens, special pieces included"
            + (
                {
                    "longest": ", the longest text first.",
                    "right": ", from the right end of all texts together.",
                }[settings["data"]["truncation"]]
                if task == "classify"
                else ", from the right."
            )
        )
        special = "`[CLS]`, `[SEP]`" if task == "pretrain" else "`[CLS]`, `[SEP]`, `[MASK]`"
        lines.append(f"{special} in a text are letters like others.")
    if settings["data"]["dataset"] in ("super_glue/wic", "super_glue/wsc", "super_glue/wsc.fixed"):
        marks = "stand between `*` signs" + (
            "" if settings["data"]["dataset"].endswith("wic") else ", the second between `#` signs"
        )
        if settings["data"]["mark_spans"]:
            lines.append(f"The words that are asked about {marks} in the text, as in training.")
    return lines


def _is_scalar(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines
    )
