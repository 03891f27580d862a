"""Small models of `transformers`, with random weights, and what they say about a batch."""

from pathlib import Path

import numpy as np

from tests.optional import import_package

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
}


def library():
    """The modules `torch` and `transformers`; skips the test where either is missing."""
    return import_package("torch"), import_package("transformers")


def save(folder: Path, name: str, **config) -> Path:
    """Saves a model of one of their classes, all of its weights random, and returns the folder."""
    torch, transformers = library()
    kind = "Bert" if name.startswith("Bert") else "FNet"
    heads = {"num_attention_heads": 4} if kind == "Bert" else {}
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **heads, **config})
    model = getattr(transformers, name)(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            scale = 0.2 if parameter.ndim > 1 else 0.5
            # LayerNorm's scales around one.
            shift = 1.0 if key.endswith("LayerNorm.weight") else 0.0
            parameter.copy_(shift + scale * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    return folder


def load(folder: Path, name: str):
    """A model of one of their classes, and what did not fit when it was loaded."""
    _, transformers = library()
    model, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    return model.eval(), {what for what, names in report.items() if names}


def says(model, batch: dict) -> dict[str, np.ndarray]:
    """Outputs of one of their models by their names, for a batch of ours."""
    torch, _ = library()
    inputs = {
        "input_ids": batch["token_ids"],
        "token_type_ids": batch["segment_ids"],
    }
    if model.config.model_type == "bert":
        inputs["attention_mask"] = batch["padding_mask"].astype("int32")
    with torch.no_grad():
        outputs = model(**{name: torch.tensor(array).long() for name, array in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def batch(segments: int = 2, seq: int = 12) -> dict[str, np.ndarray]:
    """Three sequences, the second with padding."""
    rng = np.random.default_rng(1)
    real = np.arange(seq) < np.array([seq, 7, seq])[:, None]
    return {
        "token_ids": np.where(real, rng.integers(5, 60, real.shape), 0).astype("int32"),
        "segment_ids": np.where(real, rng.integers(0, segments, real.shape), 0).astype("int32"),
        "padding_mask": real,
    }
