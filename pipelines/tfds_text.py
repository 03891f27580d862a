"""Documents of a TensorFlow Datasets text data set that is already prepared on disk or gs://."""

import os
import re
from collections.abc import Iterator

from pipelines.errors import InputError
from pipelines.records import BadRecords, Document

_WIKI40B_MARKER = re.compile(r"_START_(?:ARTICLE|SECTION|PARAGRAPH)_|_NEWLINE_")


class TfdsText:
    """The `text` feature of a TFDS data set.

    Attributes:
        description: name, config, version, sizes and folder.
        splits: "train", and "validation" where there is one.
        fraction_read: how many of the examples of all splits this pass has read, 0 to 1.
    """

    def __init__(self, name: str, data_dir: str | None):
        """Finds the data set; nothing is downloaded or prepared.

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
            where = data_dir or os.path.join("~", "tensorflow_datasets")
            raise InputError(
                f"--dataset={name} is not prepared in {where}; run "
                f"`tfds build {name} --data_dir={where}` first, or point --data_dir at its folder"
            )
        if "text" not in self._builder.info.features:
            raise InputError(
                f"--dataset={name} has no feature `text` but "
                f"{', '.join(self._builder.info.features)}; use a text data set such as c4/en"
            )

        self.splits = tuple(split for split in ("train", "validation") if split in sizes)
        self._sizes = sizes
        examples = ", ".join(f"{split} {sizes[split]}" for split in self.splits)
        self.description = (
            f"{self._builder.info.full_name} ({examples}) in {self._builder.data_path}"
        )
        self.fraction_read = 0.0

    def documents(self, split: str, bad: BadRecords) -> Iterator[Document]:
        """Yields the documents of a split in file order.

        Raises:
            InputError: too many records are bad.
        """
        dataset = self._builder.as_dataset(
            split=split,
            shuffle_files=False,
            # One file after the other: interleaved files would come in another order.
            read_config=self._tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            decoders=self._tfds.decode.PartialDecoding({"text": True}),
        )
        for number, example in enumerate(dataset.as_numpy_iterator()):
            self.fraction_read = self._fraction(split, number + 1)
            where = f"{self._name} {split} {number}"
            try:
                text = example["text"].decode("utf-8")
            except UnicodeDecodeError:
                bad.add("invalid UTF-8", where)
            else:
                # wiki40b writes its structure as words of the text.
                yield from bad.screen(_WIKI40B_MARKER.sub("\n", text), self._name, where)

    def _fraction(self, split: str, read: int) -> float:
        """Of both splits; the validation split, where there is one, is read first."""
        total = sum(self._sizes[name] for name in self.splits)
        before = self._sizes.get("validation", 0) if split == "train" else 0
        return (before + read) / total
