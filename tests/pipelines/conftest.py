"""A small made-up corpus and the token store made from it."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from pipelines.prepare import prepare
from pipelines.settings import DataSettings
from pipelines.store.store import TokenStore
from pipelines.store.writer import StoreWriter

NOUNS = ["river", "stone", "window", "garden", "letter", "paper", "engine", "bridge", "market"]
PEOPLE = ["teacher", "doctor", "sailor", "painter", "farmer", "baker", "singer", "driver"]
VERBS = ["walks", "sings", "reads", "builds", "carries", "opens", "closes", "finds", "keeps"]
OTHERS = ["quietly", "slowly", "never", "always", "often", "green", "yellow", "small", "large"]
WORDS = NOUNS + PEOPLE + VERBS + OTHERS


def made_up_document(number: int) -> str:
    """Between 1 and 30 sentences of 3 to 12 words, the same for the same number."""
    draw = random.Random(number)
    sentences = []
    for _ in range(draw.randint(1, 30)):
        words = draw.choices(WORDS, k=draw.randint(3, 12))
        sentences.append(" ".join(words).capitalize() + draw.choice(".!?"))
    return " ".join(sentences)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """200 documents as JSON lines."""
    path = tmp_path_factory.mktemp("corpus") / "made_up.jsonl"
    lines = (json.dumps({"text": made_up_document(number)}) for number in range(200))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def settings(corpus) -> DataSettings:
    return DataSettings(
        dataset=str(corpus), vocab_size=200, max_seq_length=64, validation_fraction=0.1
    )


@pytest.fixture(scope="session")
def store(settings, tmp_path_factory) -> TokenStore:
    return prepare(settings, tmp_path_factory.mktemp("stores") / "made_up")


@pytest.fixture
def many_shards(store, tmp_path) -> Path:
    """The documents of `store`, each in a shard of its own."""
    path = tmp_path / "many"
    with StoreWriter(path, store.vocabulary, tokens_per_shard=1) as writer:
        with writer.slice(0) as shards:
            for split, (whole,) in store.splits.items():
                start = first = 0
                for stop in whole.document_ends.tolist():
                    last = int(np.searchsorted(whole.sentence_ends, stop)) + 1
                    lengths = np.diff(whole.sentence_ends[first:last].astype(int), prepend=start)
                    shards.add(split, whole.tokens[start:stop], lengths, np.array([stop - start]))
                    start, first = stop, last
        writer.finish({"source": "made up", "bad_records": {}, "duplicates_dropped": 0})
    return path
