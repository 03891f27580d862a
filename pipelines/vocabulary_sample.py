"""A vocabulary for a source that brings none: trained on an even sample of its documents."""

from pipelines import sentences, vocabulary_training
from pipelines.progress import Progress
from pipelines.settings import DataSettings
from pipelines.sources import source as sources
from pipelines.vocabulary import Vocabulary

# A vocabulary is trained on an even sample of so much text, drawn from at most so much.
_SAMPLE_CHARACTERS = 20_000_000
_SAMPLED_CHARACTERS = 400_000_000


def train_vocabulary(settings: DataSettings, source: sources.Source) -> Vocabulary:
    """Trains the vocabulary that the settings ask for.

    Raises:
        InputError: the data are wrong, or too few for so many pieces.
    """
    texts = sample(source)
    lines = (line for text in texts for line in sentences.split(text, settings.sentence_split))
    return vocabulary_training.train(lines, settings.vocab_size, settings.vocab_type)


def sample(source: sources.Source) -> list[str]:
    """An even sample of the training documents: those whose content hash is low enough."""
    chosen, size, threshold, read = [], 0, 1.0, 0
    with Progress("reading for the vocabulary") as progress:
        for split, document in source.documents():
            read += len(document.text)
            progress.add(
                1, len(document.text), max(source.fraction_read, read / _SAMPLED_CHARACTERS)
            )
            # The second half of the hash: the first one has divided train from validation.
            rank = sources.hash_fraction(sources.content_hash(document.text)[8:])
            if split == "train" and rank < threshold:
                chosen.append((rank, document.text))
                size += len(document.text)
            while size > _SAMPLE_CHARACTERS and len(chosen) > 1:
                threshold /= 2
                chosen = [kept for kept in chosen if kept[0] < threshold] or chosen[:1]
                size = sum(len(text) for _, text in chosen)
            if read >= _SAMPLED_CHARACTERS:
                break
    return [text for _, text in chosen]
