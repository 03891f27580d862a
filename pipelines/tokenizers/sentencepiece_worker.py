"""The process that fits a SentencePiece model: lines on stdin, the model on stdout, its log on
stderr. `vocabulary_training.py` starts it, by its file name, so nothing of ours is imported here.
"""

import io
import sys
from collections.abc import Iterator

import sentencepiece

PAD, UNKNOWN = 0, 1
CONTROL_SYMBOLS = ("[CLS]", "[SEP]", "[MASK]")
LONGEST_LINE = 4192
# The trainer splits its work, and so its floating point sums, by this number: it is a constant so
# that a vocabulary is the same on every machine.
_THREADS = 4


def main(size: str, model_type: str) -> int:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(),
            model_writer=model,
            vocab_size=int(size),
            model_type=model_type,
            pad_id=PAD,
            unk_id=UNKNOWN,
            bos_id=-1,
            eos_id=-1,
            control_symbols=list(CONTROL_SYMBOLS),
            character_coverage=0.9995,
            num_threads=_THREADS,
            max_sentence_length=LONGEST_LINE,
            shuffle_input_sentence=False,
        )
    except RuntimeError as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(model.getvalue())
    return 0


def _lines() -> Iterator[str]:
    for line in sys.stdin.buffer:
        yield line.removesuffix(b"\n").decode()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
