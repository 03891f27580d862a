"""Documents of a TensorFlow Datasets text data set that is already prepared on disk or gs://."""

import os
import re
import shlex
from collections.abc import Iterator

from pipelines.errors import InputError
from pipelines.sources import work_units
from pipelines.sources.records import BadRecords, Document

# Every core of this machine.
_LOCAL_BEAM = "runner=DirectRunner,direct_running_mode=multi_processing,direct_num_workers=0"
_WIKI40B_MARKER = re.compile(r"_START_(?:ARTICLE|SECTION|PARAGRAPH)_|_NEWLINE_")


class TfdsText:
    """The `text` feature of a TFDS data set.

    Attributes:
        description: name, config, version, sizes and folder.
        splits: "train", and "validation" where there is one.
        fraction_read: how many of the examples of all splits this pass has read, 0 to 1.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | None,
        slice_bytes: int = work_units.SLICE_BYTES,
        beam_options: str | None = None,
    ):
        """Finds the data set; nothing is downloaded or prepared.

        Args:
            name: as TFDS spells it.
            data_dir: where prepared data sets lie.
            slice_bytes: as in `slices.group`.
            beam_options: what the command that prepares it should say of Apache Beam.

        Raises:
            InputError: it is unknown, not prepared, or has no `text`.
        """
        import tensorflow_datasets as tfds

        self._tfds, self._name = tfds, name
        try:
            self._builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
        except (ValueError, ImportError, tfds.core.registered.DatasetNotFoundError) as error:
            reason = str(error).strip().split("\n")[0]
            raise InputError(
                f"--dataset={name} is neither python_docs, a file, nor a TFDS data set "
                f"({reason}); check the name, and --data_dir={data_dir}"
            ) from None
        sizes = {split: info.num_examples for split, info in self._builder.info.splits.items()}
        if "train" not in sizes:
            self._refuse_unprepared(data_dir, beam_options)
        if "text" not in self._builder.info.features:
            raise InputError(
                f"--dataset={name} has no feature `text` but "
                f"{', '.join(self._builder.info.features)}; use a text data set such as c4/en"
            )

        self.splits = tuple(split for split in ("train", "validation") if split in sizes)
        self._sizes = sizes
        self._slices = {split: self._group(split, slice_bytes) for split in self.splits}
        examples = ", ".join(f"{split} {sizes[split]}" for split in self.splits)
        self.description = (
            f"{self._builder.info.full_name} ({examples}) in {self._builder.data_path}"
        )
        self.fraction_read = 0.0

    def num_slices(self, split: str) -> int:
        return len(self._slices[split])

    def documents(
        self, split: str, bad: BadRecords, number: int | None = None
    ) -> Iterator[Document]:
        """Yields the documents of a slice of a split, or of all of it, in file order.

        Raises:
            InputError: too many records are bad.
        """
        info = self._builder.info.splits[split]
        shards = range(info.num_shards) if number is None else self._slices[split][number]
        before = sum(info.shard_lengths[: shards.start])
        dataset = self._builder.as_dataset(
            split=f"{split}[{shards.start}shard:{shards.stop}shard]",
            shuffle_files=False,
            # One file after the other: interleaved files would come in another order.
            read_config=self._tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            decoders=self._tfds.decode.PartialDecoding({"text": True}),
        )
        for index, example in enumerate(dataset.as_numpy_iterator(), before):
            self.fraction_read = self._fraction(split, index + 1)
            where = f"{self._name} {split} {index}"
            try:
                text = example["text"].decode("utf-8")
            except UnicodeDecodeError:
                bad.add("invalid UTF-8", where)
            else:
                # wiki40b writes its structure as words of the text.
                yield from bad.screen(_WIKI40B_MARKER.sub("\n", text), self._name, where)

    def _group(self, split: str, slice_bytes: int) -> list[range]:
        """TFDS tells the bytes of a whole split, and makes its files alike."""
        info = self._builder.info.splits[split]
        return work_units.group(
            [int(info.num_bytes) // info.num_shards] * info.num_shards, slice_bytes
        )

    def _refuse_unprepared(self, data_dir: str | None, beam_options: str | None) -> None:
        where = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        where = os.path.expanduser(where)
        command = f"tfds build {self._name} --data_dir={shlex.quote(where)}"
        # In 4.9.10 the program `tfds` does not start without Apache Beam, whatever it builds.
        note = " where requirements-beam.txt is installed"
        if isinstance(self._builder, self._tfds.core.BeamBasedBuilder):
            command += f" --beam_pipeline_options={shlex.quote(beam_options or _LOCAL_BEAM)}"
            note += (
                " (the options of a cluster are runner=DataflowRunner,project=…,region=…,"
                "temp_location=gs://… and the like)"
            )
        raise InputError(
            f"--dataset={self._name} is not prepared in {where}; run `{command}` first{note}, or "
            "point --data_dir at its folder"
        )

    def _fraction(self, split: str, read: int) -> float:
        """Of both splits; the validation split, where there is one, is read first."""
        total = sum(self._sizes[name] for name in self.splits)
        before = self._sizes.get("validation", 0) if split == "train" else 0
        return (before + read) / total
