"""Training a SentencePiece vocabulary, with a progress bar, in a process of its own.

The trainer tells how far it is in its log alone, which it writes straight to the standard error of
its process; here that log is read.

A vocabulary for a source that brings none: trained on an even sample of its documents.
"""

import math
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator

from pipelines.errors import InputError
from pipelines.progress import Progress
from pipelines.settings import DataSettings
from pipelines.sources import source as sources
from pipelines.tokenizers import sentence_splitter, sentencepiece_worker
from pipelines.tokenizers.sentencepiece_model import Vocabulary

# BPE adds pieces until there are enough; unigram begins with too many and prunes.
_PIECES = re.compile(r"\b(?:merges|size)=(\d+)")


def train(sentences: Iterable[str], size: int, model_type: str = "bpe") -> Vocabulary:
    """Train a vocabulary, deterministically.

    A size that the text does not support is lowered to the largest that it does, with a note.

    Args:
        sentences: text, one sentence or line each; read once.
        size: number of pieces, special ones included.
        model_type: "bpe" or "unigram".

    Raises:
        InputError: there is no text, or it has more characters than pieces are allowed.
    """
    lines = list(_short_lines(sentences))
    try:
        return _train(lines, size, model_type)
    except _TooLarge as error:
        print(
            f"note: --vocab_size={size} is more than the text supports; {error.most} pieces are "
            "trained",
            file=sys.stderr,
        )
        return _train(lines, error.most, model_type)


class _TooLarge(InputError):
    """The text supports fewer pieces, at most `most`."""

    def __init__(self, most: int):
        super().__init__(f"--vocab_size={most} is the most that the text supports")
        self.most = most


def _train(lines: list[str], size: int, model_type: str) -> Vocabulary:
    trainer = subprocess.Popen(
        [sys.executable, sentencepiece_worker.__file__, str(size), model_type],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with trainer, Progress(f"training a {model_type} vocabulary of {size}") as progress:
        log = _Log(size, model_type, progress)
        follower = threading.Thread(target=log.follow, args=(trainer.stderr,), daemon=True)
        follower.start()
        try:
            for line in lines:
                trainer.stdin.write(line.replace("\n", " ").encode() + b"\n")
            trainer.stdin.close()
        except BrokenPipeError:
            pass  # the log says why it ended
        except BaseException:
            trainer.kill()
            raise
        model = trainer.stdout.read()
        follower.join()
        if trainer.wait():
            raise _training_error(log.last_lines(), size)
    return Vocabulary(model, "the trained model")


class _Log:
    """The trainer's log, read as it is written."""

    def __init__(self, size: int, model_type: str, progress: Progress):
        self._size, self._grows, self._progress = size, model_type == "bpe", progress
        self._first, self._lines = None, []

    def follow(self, stream) -> None:
        for raw in stream:
            line = raw.decode(errors="replace").strip()
            self._lines = [*self._lines[-4:], line]
            counted = _PIECES.search(line)
            if counted:
                self._show(int(counted[1]))

    def last_lines(self) -> str:
        return " ".join(self._lines)

    def _show(self, pieces: int) -> None:
        if self._first is None:
            self._first = pieces
        # Each pruning takes the same share away, so its time goes with the logarithm.
        excess = math.log(max(pieces / self._size, 1.0))
        whole = math.log(max(self._first / self._size, 1.0)) or 1.0
        fraction = pieces / self._size if self._grows else 1.0 - excess / whole
        self._progress.show(min(fraction, 1.0), f"{pieces:,} pieces")


def _short_lines(sentences: Iterable[str]) -> Iterator[str]:
    """Breaks up what the trainer would skip in silence for its length."""
    longest = sentencepiece_worker.LONGEST_LINE // 4  # a character is four bytes at most
    for sentence in sentences:
        while len(sentence) > longest:
            end = max(sentence.rfind(" ", 0, longest), 0) or longest
            yield sentence[:end]
            sentence = sentence[end:]
        yield sentence


def _training_error(message: str, size: int) -> InputError:
    if "sentences_.empty" in message:
        return InputError("there is no text to train a vocabulary from; is --dataset empty?")
    most = re.search(r"value <= (\d+)", message)
    if most:
        return _TooLarge(int(most.group(1)))
    least = re.search(r"smaller than required_chars\.? ?\D*\d+ vs (\d+)", message)
    if least:
        return InputError(
            f"--vocab_size={size} is less than the text has characters; use more than "
            f"{least.group(1)}"
        )
    return InputError(f"--vocab_size={size}: training the vocabulary failed: {message.strip()}")


# A vocabulary is trained on an even sample of so much text, drawn from at most so much.
_SAMPLE_CHARACTERS = 20_000_000
_SAMPLED_CHARACTERS = 400_000_000


def train_vocabulary(settings: DataSettings, source: sources.Source) -> Vocabulary:
    """Trains the vocabulary that the settings ask for.

    Raises:
        InputError: the data are wrong, or too few for so many pieces.
    """
    texts = sample(source)
    lines = (
        line for text in texts for line in sentence_splitter.split(text, settings.sentence_split)
    )
    return train(lines, settings.vocab_size, settings.vocab_type)


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
