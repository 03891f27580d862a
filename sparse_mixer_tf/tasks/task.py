"""What the trainer asks of a task."""

from typing import Protocol

import keras

from pipelines.settings import DataSettings
from pipelines.vocabulary import Vocabulary


class Task(Protocol):
    """Data, model, loss and score of one kind of training.

    Made from its settings it is cheap. `open_data` or `restore` come next, then `build`; the rest
    needs both. `normalizers` and `contributions` are those of `training.step.Objective`.

    Attributes:
        data_settings: as given; those of the data that were opened last.
        vocabulary: of the token ids.
        facts: what a run is made of besides its settings: fingerprints of vocabulary and data, and
            what the model must know of the data. Goes to JSON.
        model: the keras model.
        better: the held-out metric that decides which checkpoint is best; the lowest is.
    """

    data_settings: DataSettings
    vocabulary: Vocabulary
    facts: dict
    model: keras.Model
    better: str

    def open_data(self, settings: DataSettings | None = None) -> None:
        """Reads or prepares the data, those of other settings if they are given.

        Raises:
            InputError: the data or their settings are wrong, or not of this task's vocabulary.
        """

    def restore(self, vocabulary: Vocabulary, facts: dict) -> None:
        """Takes from an earlier run what `open_data` would find out, to use a model without it."""

    def build(self) -> None:
        """Makes the model."""

    def num_train_examples(self) -> int:
        """Examples of one epoch."""

    def train_stream(self, start_step: int):
        """Endless tf.data of global batches, beginning at one step."""

    def evaluation_stream(self, num_batches: int | None, splits: tuple[str, ...] = ()):
        """tf.data over held-out data, in order; over all of it if `num_batches` is None."""

    def normalizers(self, batch: dict) -> dict: ...

    def contributions(self, batch: dict, normalizers: dict, share, key) -> tuple: ...

    def evaluation_sums(self, batch: dict) -> dict:
        """Sums over a held-out batch; `summary` turns their total into metrics."""

    def summary(self, sums: dict) -> dict:
        """Held-out metrics, `loss` among them, from the sums over all evaluation batches."""

    def samples(self, sums: dict) -> list[dict]:
        """What the model says about a few held-out examples, for people."""

    def sample_lines(self, samples: list[dict]) -> list[str]:
        """Samples as console lines."""
