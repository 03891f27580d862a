"""The embedded corpus as a classification task: the library that a paragraph documents."""

from pipelines.labelled.examples import Example
from pipelines.settings import DataSettings
from pipelines.sources.source import Source


class DocumentedLibrary:
    """Paragraphs of `python_docs`, labelled with their library.

    Modules are divided into train and validation as they are for pre-training, so no paragraph
    that is scored here was read there. See `LabelledSource` for the attributes.
    """

    labels = ("keras", "numpy", "python", "stdlib", "tensorflow")
    metrics, original_metrics = ("accuracy", "macro_f1"), ()
    validation, test, whole = ("validation",), (), ("validation",)

    def __init__(self, settings: DataSettings):
        """Reads the corpus.

        Raises:
            InputError: one of the splits stays empty.
        """
        source = Source(settings)
        self._examples = {"train": [], "validation": []}
        for split, document in source.documents():
            examples = self._examples[split]
            for paragraph in document.text.splitlines():
                label = self.labels.index(document.origin)
                examples.append(Example((paragraph,), label, len(examples), (len(examples),)))
        self.description = source.description

    def read(self, split: str) -> list[Example]:
        """The paragraphs of a split in the order of the corpus."""
        return self._examples[split]
