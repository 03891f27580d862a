"""Identity of a token store: its ingredients, its name in a cache, its differences from another."""

import hashlib
import json
import re
from pathlib import Path

from pipelines.errors import InputError
from pipelines.settings import DataSettings
from pipelines.sources.source import Source
from pipelines.store import format
from pipelines.tokenizers.sentencepiece_model import Vocabulary

# What a store depends on beside the text itself; sequence length, objective and masking do not.
_SETTINGS = ("dataset", "data_dir", "sentence_split", "max_documents", "validation_fraction")


def made_from(settings: DataSettings, source: Source, words: Vocabulary | None) -> dict:
    """Everything the bytes of a store depend on."""
    found = {name: getattr(settings, name) for name in _SETTINGS}
    if settings.text_field != "text":
        found["text_field"] = settings.text_field
    if words is None:
        found["vocabulary"] = f"{settings.vocab_type} {settings.vocab_size}, trained"
    else:
        found["vocabulary"] = words.fingerprint
    return found | {"source": source.description, "format": format.FORMAT_VERSION}


def store_name(settings: DataSettings, identity: dict) -> str:
    """The name of its folder in a cache; `identity` as `made_from` gives it."""
    slug = re.sub(r"[^A-Za-z0-9]+", "_", Path(settings.dataset).name).strip("_")[:40]
    if "/" in settings.dataset and not Path(settings.dataset).exists():
        slug = re.sub(r"[^A-Za-z0-9]+", "_", settings.dataset).strip("_")[-40:]
    if settings.vocab_filepath:
        words = Path(settings.vocab_filepath).stem
    else:
        words = f"{settings.vocab_type}_{settings.vocab_size}"
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{slug}-{words}-{digest[:10]}"


def differences(there: dict, wanted: dict) -> str:
    """Return the differences of a store's ingredients from those wanted; "" if there are none."""
    return "; ".join(
        f"{name} {there.get(name)!r} instead of {value!r}"
        for name, value in wanted.items()
        if there.get(name) != value
    )


def refuse_other_store(path: str | Path, identity: dict) -> None:
    """Raises InputError if the store was made from something else."""
    if found := differences(format.read_manifest(path).get("made_from", {}), identity):
        raise InputError(
            f"--output={path} is a token store of another making ({found}); "
            "choose another folder, or remove it"
        )
