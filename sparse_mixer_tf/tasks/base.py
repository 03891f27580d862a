"""The interface between the trainer and a task."""

import abc
from pathlib import Path

import keras

from pipelines.schema import ArraySpec
from pipelines.settings import DataSettings
from pipelines.tokenizers import sentencepiece_model
from pipelines.tokenizers.sentencepiece_model import Vocabulary
from sparse_mixer_tf.cost_model import Cost
from sparse_mixer_tf.settings import ModelSettings, TrainingSettings


class Task(abc.ABC):
    """Data, model, loss and score of one kind of training.

    Made from its settings it is cheap. `open_data`, `restore` or `suppose_data` come next, then
    `build`; the rest needs both. `normalizers` and `contributions` are those of
    `training.step.Objective`. Here stand the answers of a task whose rows are sequences of
    SentencePiece ids, each complete in itself.

    Attributes:
        model_settings, settings: of the model and of its training.
        data_settings: as given; those of the data that were opened last.
        vocabulary: of the token ids.
        facts: what a run is made of besides its settings: fingerprints of vocabulary and data, and
            what the model must know of the data. Goes to JSON.
        model: the keras model.
        better: the held-out metric that decides which checkpoint is best; the lowest is.
        initial_memory: what is carried from batch to batch, see `training.memory`; None: nothing.
    """

    better = "loss"
    initial_memory = None

    def __init__(
        self,
        model_settings: ModelSettings,
        training_settings: TrainingSettings,
        data_settings: DataSettings,
    ):
        self.model_settings, self.settings = model_settings, training_settings
        self.data_settings = data_settings
        self.vocabulary: Vocabulary | None = None
        self.model: keras.Model | None = None
        self.facts: dict = {}

    @property
    def tokens_per_row(self) -> int:
        """Tokens of a row of a batch, padding counted."""
        return self.data_settings.max_seq_length

    @property
    def vocabulary_size(self) -> int:
        """Of the vocabulary, or of the one that the settings ask for while there is none."""
        return self.vocabulary.size if self.vocabulary else self.data_settings.vocab_size

    @property
    def vocabulary_file(self) -> str:
        """Path of the vocabulary in the workdir of a run."""
        return "vocabulary/spm.model"

    def read_vocabulary(self, path: Path):
        """Reads that file.

        Raises:
            InputError: it is missing or damaged.
        """
        return sentencepiece_model.load(path)

    def static_choices(self, step: int) -> tuple:
        """Sets the model up for a step; what compiled functions depend on besides shapes.

        Functions are compiled anew where the answer is another one. A pure function of the step and
        the weights, so that a run that was interrupted chooses alike.
        """
        return ()

    @property
    def whole_splits(self) -> tuple[str, ...]:
        """The splits to score where the data are not those that the model was trained on."""
        return ()

    @abc.abstractmethod
    def open_data(self, settings: DataSettings | None = None) -> None:
        """Reads or prepares the data, those of other settings if they are given.

        Raises:
            InputError: the data or their settings are wrong, or not of this task's vocabulary.
        """

    def restore(self, vocabulary, facts: dict) -> None:
        """Takes from an earlier run what `open_data` would find out, to use a model without it."""
        self.vocabulary, self.facts = vocabulary, facts

    @abc.abstractmethod
    def suppose_data(self) -> None:
        """Supposes what `open_data` would find out, for whoever only needs a model of its size.

        The vocabulary is as large as the flags ask for, the classes are two.
        """

    @abc.abstractmethod
    def batch_schema(self, batch_size: int, evaluation: bool = False) -> dict[str, ArraySpec]:
        """Names, shapes and dtypes of a batch, without the memory that is carried beside it."""

    @abc.abstractmethod
    def build(self) -> None:
        """Makes the model."""

    @abc.abstractmethod
    def cost_table(self, tokens: int) -> list[Cost]:
        """Return the cost of the model, a row a sublayer; known before it is built.

        Args:
            tokens: tokens routed together on one device.
        """

    @abc.abstractmethod
    def data_line(self) -> str:
        """Return a line with the amount of training and held-out data."""

    @abc.abstractmethod
    def batch_lines(self, batch: dict, rows: int) -> list[str]:
        """The first rows of a batch of arrays, as the text that they came from, for people."""

    @abc.abstractmethod
    def num_train_examples(self) -> int:
        """Examples of one epoch."""

    @abc.abstractmethod
    def train_stream(self, start_step: int, host_index: int = 0, num_hosts: int = 1):
        """Endless tf.data of one host's rows of the global batches, beginning at one step.

        What other hosts' rows are made of is not read.
        """

    @abc.abstractmethod
    def evaluation_stream(
        self,
        num_batches: int | None,
        splits: tuple[str, ...] = (),
        host_index: int = 0,
        num_hosts: int = 1,
    ):
        """tf.data over one host's rows of held-out batches; of all if `num_batches` is None."""

    @abc.abstractmethod
    def evaluation_sums(self, batch: dict) -> dict:
        """Sums over a held-out batch; `summary` turns their total into metrics."""

    @abc.abstractmethod
    def summary(self, sums: dict) -> dict:
        """Held-out metrics, `loss` among them, from the sums over all evaluation batches."""

    @abc.abstractmethod
    def samples(self, sums: dict) -> list[dict]:
        """Return the model's answers to a few held-out examples."""

    @abc.abstractmethod
    def sample_lines(self, samples: list[dict]) -> list[str]:
        """Samples as console lines."""
