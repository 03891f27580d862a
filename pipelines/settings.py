"""Settings of a data stream: one frozen record, one field a flag."""

import dataclasses
import json

from pipelines.errors import InputError

VOCAB_TYPES = ("bpe", "unigram")
PAIR_OBJECTIVES = ("order", "next", "none")
SENTENCE_SPLITS = ("sentences", "lines")
SPLITS = ("train", "validation")
TRUNCATIONS = ("longest", "right")
LABEL_TYPES = ("auto", "class", "number")
TOKENIZERS = ("sentencepiece", "byte", "character", "word")


def _setting(default, help_text: str, choices: tuple[str, ...] = ()):
    return dataclasses.field(default=default, metadata={"help": help_text, "choices": choices})


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Settings from raw text to batches; every field is a flag of the same name.

    Raises:
        InputError: a value is out of range or two values exclude each other.
    """

    dataset: str = _setting(
        "python_docs",
        "python_docs, a TFDS name, or a path or glob of .txt, .json, .jsonl or .parquet files, "
        "plain or compressed; data/{split}.txt stands for one file a split. To classify: "
        "python_docs, a .tsv, .csv, .jsonl or .parquet file, or a task such as glue/cola. For a "
        "language model also enwik8, text8, wikitext-2, wikitext-103, whose files lie in "
        "--data_dir.",
    )
    data_dir: str | None = _setting(
        None, "Where prepared TFDS data lie, gs:// is fine, or the files of enwik8 and its like."
    )
    cache_dir: str | None = _setting(
        None, "Where prepared tokens are kept; by default ~/.cache/sparse_mixer_tf."
    )
    vocab_filepath: str | None = _setting(
        None, "SentencePiece model (BPE or unigram); without it one is trained from the data."
    )
    vocab_size: int = _setting(32000, "Pieces of a vocabulary that is trained here.")
    vocab_type: str = _setting("bpe", "Kind of a vocabulary that is trained here.", VOCAB_TYPES)
    max_seq_length: int = _setting(512, "Tokens of a sequence, special pieces included.")
    max_predictions_per_seq: int = _setting(80, "Most masked positions of a sequence.")
    masking_rate: float = _setting(0.15, "Share of the tokens that are predicted.")
    mask_token_proportion: float = _setting(0.8, "Share of them that are shown as [MASK].")
    random_token_proportion: float = _setting(0.1, "Share of them shown as a random token.")
    pair_objective: str = _setting(
        "order",
        "order: are two parts of a document in order; next: does the second part follow the "
        "first; none: one segment, no pairs.",
        PAIR_OBJECTIVES,
    )
    pack_documents: bool = _setting(
        False, "Short documents share a sequence; with --pair_objective=none only."
    )
    sentence_split: str = _setting(
        "sentences",
        "Where sentences end: at sentence-final punctuation and newlines, or at newlines only.",
        SENTENCE_SPLITS,
    )
    max_documents: int | None = _setting(None, "Read at most so many documents of the source.")
    max_bad_records: int = _setting(100, "Skip so many unreadable records before giving up.")
    validation_fraction: float = _setting(
        0.02, "Share of documents held out where the source has no validation split."
    )
    text_field: str = _setting(
        "text", "The field with the text in JSON and Parquet files; a nested one as data.text."
    )
    text_fields: str | None = _setting(
        None, "Classifying a file: its columns or keys with text, comma-separated."
    )
    label_field: str = _setting("label", "Classifying a file: its column or key with the label.")
    label_type: str = _setting(
        "auto",
        "Classifying a file: its labels are classes, or numbers to predict. auto: numbers if all "
        "labels are numbers and one has decimals.",
        LABEL_TYPES,
    )
    drop_unlabelled: bool = _setting(
        False, "Classifying a file: leave out rows whose label is empty, null, NaN, - or -1."
    )
    max_train_examples: int | None = _setting(
        None, "Classifying: train on the first so many records of the training split."
    )
    truncation: str = _setting(
        "longest",
        "Classifying: what is cut from a text that is too long: the end of its longest segment, "
        "or, as the original does, the right end of them all.",
        TRUNCATIONS,
    )
    tokenizer: str = _setting(
        "sentencepiece",
        "What a symbol of a language model's text is: a piece of a SentencePiece vocabulary, a "
        "byte, a character, or a word.",
        TOKENIZERS,
    )
    block_size: int = _setting(512, "Tokens of each row that a language model reads in a step.")
    eval_stride: int | None = _setting(
        None,
        "Score a language model on windows of so many tokens, each read behind --eval_context "
        "others from empty memory, so that the result does not depend on the batch size; without "
        "it a row reads on from the memory of its last block.",
    )
    eval_context: int | None = _setting(
        None,
        "With --eval_stride: every token is scored behind at least so many others, as far as the "
        "text has them; by default --block_size.",
    )
    mark_spans: bool = _setting(
        True, "Classifying: show in the text which words WiC and WSC ask about."
    )

    def __post_init__(self):
        self._at_least("vocab_size", 16, "use 4000 for a small corpus, 32000 for web text")
        self._at_least("max_seq_length", 8, "use 64, 128 or 512")
        self._at_least("max_predictions_per_seq", 1, "use 15% of --max_seq_length")
        self._at_least("max_bad_records", 0, "use 0 to stop at the first bad record")
        if self.max_documents is not None:
            self._at_least("max_documents", 2, "leave it out to read the whole source")
        if self.max_train_examples is not None:
            self._at_least("max_train_examples", 1, "leave it out to train on all")
        self._at_least("block_size", 1, "use 128 or 512")
        if self.eval_stride is not None:
            self._at_least("eval_stride", 1, "leave it out, or use --block_size")
        if self.eval_context is not None:
            self._at_least("eval_context", 0, "leave it out, or use the model's attention span")
            if self.eval_stride is None:
                raise InputError(
                    f"--eval_context={self.eval_context} needs --eval_stride, the number of "
                    f"tokens scored behind it; add --eval_stride={self.block_size}"
                )
        self._fraction("masking_rate", 0.15)
        self._fraction("validation_fraction", 0.02)
        self._proportions()
        for item in dataclasses.fields(self):
            choices = item.metadata["choices"]
            value = getattr(self, item.name)
            if choices and value not in choices:
                raise InputError(f"--{item.name}={value} is unknown; use {', '.join(choices)}")
        if not self.dataset:
            raise InputError("--dataset is empty; use python_docs, a path, or a TFDS name")
        if self.pack_documents and self.pair_objective != "none":
            raise InputError(
                f"--pack_documents does not go with --pair_objective={self.pair_objective}, whose "
                "pairs come from one document; add --pair_objective=none"
            )

    @property
    def num_predictions(self) -> int:
        """Mask slots of a row: never more than a full sequence can use."""
        return min(
            self.max_predictions_per_seq, max(1, int(self.masking_rate * self.max_seq_length))
        )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def completed(cls, values: dict) -> dict:
        """Return settings as an earlier version wrote them, with defaults for newer ones."""
        return {item.name: item.default for item in dataclasses.fields(cls)} | values

    @classmethod
    def from_json(cls, text: str) -> "DataSettings":
        return cls(**json.loads(text))

    def _at_least(self, name: str, least: int, fix: str) -> None:
        value = getattr(self, name)
        if value < least:
            raise InputError(f"--{name}={value} is below {least}; {fix}")

    def _fraction(self, name: str, usual: float) -> None:
        value = getattr(self, name)
        if not 0.0 < value < 1.0:
            raise InputError(f"--{name}={value} is not between 0 and 1; {usual} is usual")

    def _proportions(self) -> None:
        mask, random = self.mask_token_proportion, self.random_token_proportion
        if mask < 0 or random < 0 or mask + random > 1:
            raise InputError(
                f"--mask_token_proportion={mask} and --random_token_proportion={random} must be "
                "at least 0 and at most 1 together; 0.8 and 0.1 are usual"
            )
