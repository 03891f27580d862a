"""A token store that many machines write in place: what of it is whole, and when it is done.

Beside the shards, `unfinished/` holds a plan, which names what the store is made from, and for each
slice that is whole a small file with its sizes, checksums, counts and bad records. A slice without
such a file, or whose shards differ from it, is made again. The manifest comes last, and with it
`unfinished/` goes.
"""

import dataclasses
import functools
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines import filesystem
from pipelines.errors import InputError
from pipelines.settings import SPLITS, DataSettings
from pipelines.sources import source as sources
from pipelines.sources.source import Source
from pipelines.sources.work_units import Slice
from pipelines.store import format, identity, tokenize, writer
from pipelines.store.writer import SliceWriter
from pipelines.tokenizers import sentencepiece_model
from pipelines.tokenizers.sentencepiece_model import Vocabulary

_FOLDER, _PLAN = "unfinished", "plan.json"
# Small files of an object store are read so many at a time: each takes a round trip.
_READERS = 32


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """Everything a machine must know to write any slice of a store.

    Attributes:
        folder: of the store, on a file system that all machines see.
        settings: what is tokenised and how.
        slice_bytes: as in `slices.group`.
        tokens_per_shard: as in `SliceWriter`.
    """

    folder: str
    settings: DataSettings
    slice_bytes: int
    tokens_per_shard: int

    def source(self) -> Source:
        """The data; a worker looks for their files once, not for each slice."""
        return _source(self.settings, self.slice_bytes)

    def start(self, made_from: dict, words: Vocabulary) -> None:
        """Makes the folder, or finds it as an earlier start has left it."""
        filesystem.make_folder(self._path())
        plan = json.dumps(self._plan(made_from), indent=2)
        filesystem.write_whole(self._path(_PLAN), plan.encode())
        writer.start_folder(self.folder, words)

    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary that the slices are tokenised with; None before there is one."""
        path = filesystem.join(self.folder, format.VOCABULARY)
        return sentencepiece_model.load(path) if filesystem.exists(path) else None

    def refuse_other(self, made_from: dict) -> None:
        """Raises InputError if what is there was begun from something else."""
        there = json.loads(filesystem.read_bytes(self._path(_PLAN)))
        if found := identity.differences(there, self._plan(made_from)):
            raise InputError(
                f"--output={self.folder} is the beginning of a token store of another making "
                f"({found}); choose another folder, or remove it"
            )

    def is_whole(self, item: Slice, room: int | None) -> bool:
        """Return whether a slice is there, every byte of it as it was written, with that room."""
        facts = self._facts(item)
        if facts is None or "error" in facts or facts["room"] != room:
            return False
        try:
            return all(
                format.checksum(filesystem.join(self.folder, name)) == entry["sha256"]
                for name, entry in facts["files"].items()
            )
        except OSError:
            return False

    def write(self, item: Slice, room: int | None) -> None:
        """Writes a slice unless it is there; what is wrong with the data is kept for `finish`."""
        if self.is_whole(item, room):
            return
        filesystem.remove(self._path(f"{item.name}.json"))
        try:
            facts = self._write(item, room)
        except InputError as error:
            facts = {"error": str(error)}
        filesystem.write_whole(
            self._path(f"{item.name}.json"), json.dumps(facts, indent=2).encode()
        )

    def finish(self, source: Source, items: Sequence[Slice], description: dict) -> None:
        """Writes the manifest over all slices and removes what only the making needed.

        Raises:
            InputError: the data are wrong.
        """
        with ThreadPoolExecutor(_READERS) as readers:
            found = list(readers.map(self._facts, items))
        missing = [item.name for item, facts in zip(items, found, strict=True) if facts is None]
        if missing:
            raise RuntimeError(
                f"{len(missing)} of {len(items)} slices were not written, {missing[0]} the first; "
                "run the same command again to make them"
            )
        for facts in found:
            if "error" in facts:
                raise InputError(facts["error"])
        account = source.new_account()
        for facts in found:
            account.add(facts["account"])
        source.refuse_empty(account)
        description = description | account.outcome()
        manifest = writer.complete(self.folder, self.vocabulary(), found, description)
        filesystem.remove_folder(self._path())
        self._sweep(manifest["files"])

    def _write(self, item: Slice, room: int | None) -> dict:
        source, words = self.source(), self.vocabulary()
        account = source.new_account()
        held_out = set() if item.split == "validation" else self._held_out(source)
        with tempfile.TemporaryDirectory(dir=self._scratch()) as scratch:
            shards = SliceWriter(
                self.folder, Path(scratch), item.number, words.size, self.tokens_per_shard
            )
            try:
                found = source.read(item, account, held_out, room)
                texts = ((split, document.text) for split, document in found)
                for chunk in tokenize.tokenise(texts, words, self.settings.sentence_split):
                    shards.add(*chunk[:4])
                shards.close()
            finally:
                shards.abandon()
        if item.split == "validation":
            digests = b"".join(sorted(held_out))
            filesystem.write_whole(self._path(f"{item.name}.hashes"), digests)
        return {
            "room": room,
            "files": shards.files,
            "counts": shards.counts,
            "account": account.facts(),
        }

    def _held_out(self, source: Source) -> set[bytes]:
        """The hashes of all validation documents, where the source has such a split."""
        digests = b""
        for item in source.slices():
            if item.split == "validation":
                try:
                    digests += filesystem.read_bytes(self._path(f"{item.name}.hashes"))
                except FileNotFoundError:
                    raise InputError(f"slice {item.name} was not written") from None
        width = sources.DIGEST_BYTES
        return {digests[at : at + width] for at in range(0, len(digests), width)}

    def _facts(self, item: Slice) -> dict | None:
        try:
            return json.loads(filesystem.read_bytes(self._path(f"{item.name}.json")))
        except FileNotFoundError:
            return None

    def _plan(self, made_from: dict) -> dict:
        sizes = {name: getattr(self, name) for name in ("slice_bytes", "tokens_per_shard")}
        return made_from | sizes

    def _path(self, *names: str) -> str | Path:
        return _place(self.folder, *names)

    def _scratch(self) -> Path | None:
        """Return the folder in which arrays grow: the store's, or a local one if that is remote."""
        return None if filesystem.is_remote(self.folder) else Path(self._path())

    def _sweep(self, known: dict) -> None:
        """Removes what workers that were killed have left half-copied."""
        for split in SPLITS:
            folder = filesystem.join(self.folder, split)
            for name in filesystem.names(folder):
                if f"{split}/{name}" not in known:
                    filesystem.remove(filesystem.join(folder, name))


@functools.lru_cache(maxsize=1)
def _source(settings: DataSettings, slice_bytes: int) -> Source:
    return Source(settings, slice_bytes)


def is_there(folder: str | Path) -> bool:
    """Return whether a folder is the beginning of a store."""
    return filesystem.exists(_place(folder, _PLAN))


def _place(folder: str | Path, *names: str) -> str | Path:
    return filesystem.join(folder, _FOLDER, *names)
