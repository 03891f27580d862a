"""GLUE and SuperGLUE from TFDS data that are already prepared; nothing is ever downloaded."""

import os

from pipelines import glue_records, glue_tasks
from pipelines.errors import InputError
from pipelines.labelled_records import Example, check_not_empty


class GlueSource:
    """One task of a benchmark.

    See `LabelledSource`; splits that are not prepared are left out of `validation` and `test`.

    Attributes:
        task: the facts of the task.
        sizes: examples of every split that is prepared.
        missing: splits that the benchmark has and that are not prepared.
    """

    def __init__(self, name: str, data_dir: str | None, mark_spans: bool = True):
        """Finds the data.

        Raises:
            InputError: no such task, or it is not prepared.
        """
        import tensorflow_datasets as tfds

        self.task = glue_tasks.find(name)
        self._tfds, self._mark_spans = tfds, mark_spans
        self._data_dir = data_dir and os.path.expanduser(data_dir)
        self._builder = tfds.builder(name, data_dir=self._data_dir, try_gcs=False)
        self.sizes = {s: info.num_examples for s, info in self._builder.info.splits.items()}
        if not self.sizes:
            where = data_dir or os.path.join("~", "tensorflow_datasets")
            raise InputError(
                f"--dataset={name} is not prepared in {where}; run "
                f"`tfds build {name} --data_dir={where}` first, or point --data_dir at its folder"
            )
        if self.task.is_regression:
            self.labels = ()
        elif self.task.choices:
            self.labels = ("wrong", "right")
        else:
            self.labels = tuple(self._builder.info.features["label"].names)
        self.metrics, self.original_metrics = self.task.metrics, self.task.original_metrics
        wanted = (*self.task.validation, *self.task.test)
        self.missing = tuple(split for split in wanted if split not in self.sizes)
        self.validation = tuple(s for s in self.task.validation if s in self.sizes)
        self.test = tuple(s for s in self.task.test if s in self.sizes)
        sizes = ", ".join(f"{split} {size}" for split, size in self.sizes.items())
        self.description = f"{self._builder.info.full_name} ({sizes})"

    def read(self, split: str) -> list[Example]:
        """The examples of a split in file order.

        Raises:
            InputError: no such split, or an example without any text.
        """
        if split not in self.sizes:
            raise InputError(
                f"--dataset={self.task.name} has no split {split!r}; "
                f"there are {', '.join(self.sizes)}"
            )
        dataset = self._tfds.load(
            self.task.name,
            split=split,
            data_dir=self._data_dir,
            download=False,
            shuffle_files=False,
            # One file after the other: interleaved files would come in another order.
            read_config=self._tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        )
        read = []
        for record in self._tfds.as_numpy(dataset):
            for example in glue_records.examples(self.task, record, self._mark_spans):
                where = f"{self.task.name} {split} {example.number[-1]}"
                read.append(check_not_empty(example, where))
        return read
