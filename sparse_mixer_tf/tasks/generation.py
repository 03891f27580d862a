"""Continuation of prompts by a language model."""

import unicodedata

import keras_hub
import numpy as np

from pipelines.errors import InputError

SAMPLERS = ("greedy", "top_k", "top_p", "random")


def make_sampler(name: str, temperature: float = 0.8, k: int = 20, p: float = 0.9, seed: int = 0):
    """A KerasHub sampler.

    Args:
        name: `greedy`, `top_k`, `top_p` or `random`.
        temperature: below 1 the likelier tokens are favoured; no matter to `greedy`.
        k: how many tokens `top_k` chooses among.
        p: how much probability `top_p` chooses among.
        seed: of everything but `greedy`.
    """
    samplers, shared = keras_hub.samplers, {"temperature": temperature, "seed": seed}
    return {
        "greedy": lambda: samplers.GreedySampler(),
        "top_k": lambda: samplers.TopKSampler(k=k, **shared),
        "top_p": lambda: samplers.TopPSampler(p=p, **shared),
        "random": lambda: samplers.RandomSampler(**shared),
    }[name]()


def continue_texts(model, vocabulary, prompts: list[str], length: int, sampler) -> list[dict]:
    """Continues prompts, each by itself.

    Args:
        model: a `BrainformerCausalLM`.
        vocabulary: with `encode` and `decode`.
        prompts: texts of at least one symbol.
        length: symbols to add.
        sampler: of KerasHub; kept by the model, so that one is compiled once.

    Returns:
        For each prompt `{"prompt", "continuation"}`.

    Raises:
        InputError: a prompt is empty or has symbols that the vocabulary lacks.
    """
    if isinstance(sampler, keras_hub.samplers.TopKSampler):
        sampler.k = min(sampler.k, vocabulary.size)
    answers = []
    for prompt in prompts:
        ids = vocabulary.encode(prompt)
        if not len(ids):
            raise InputError("an empty text cannot be continued; give it a symbol or more")
        added = model.generate(
            [ids.tolist()], max_length=len(ids) + length, strip_prompt=True, sampler=sampler
        )[0]
        continuation = vocabulary.decode(np.asarray(added))
        answers.append({"prompt": prompt, "continuation": continuation})
    return answers


def sample_lines(samples: list[dict]) -> list[str]:
    """Continuations as console lines, prompt and continuation apart by a bar."""
    return [
        f"  {_one_line(sample['prompt'])}│{_one_line(sample['continuation'])}" for sample in samples
    ]


def _one_line(text: str) -> str:
    text = text.replace("\n", "⏎").replace("\t", " ")
    # Bytes that an untrained model makes up would be commands to a terminal.
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)
