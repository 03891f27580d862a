"""A stretch of held-out text, with the experts that took each of its tokens."""

import numpy as np

from sparse_mixer_tf.inspection.held_out import Look
from sparse_mixer_tf.inspection.pieces import are_characters, running

TOKENS, CHARACTERS = 240, 480
# More are of no weight: a token chooses one or two, and few are chosen by more experts.
_NAMED = 3


class Paragraph:
    """The first tokens of the first rows that come, and who took them.

    Attributes:
        vocabulary: of the ids.
        goes_on: whether rows of the next batch go on where those of the last ended.
        most: tokens that are kept.
    """

    def __init__(self, vocabulary, goes_on: bool):
        self.vocabulary, self.goes_on = vocabulary, goes_on
        self.most = CHARACTERS if are_characters(vocabulary) else TOKENS
        self._ids, self._takers, self._ends = [], {}, []

    def add(self, look: Look) -> None:
        """Adds rows until there are enough; of running text the first row, which goes on."""
        for row in range(1 if self.goes_on else len(look.token_ids)):
            real = np.flatnonzero(look.real[row])[: self.most - len(self._ids)]
            self._ids += look.token_ids[row, real].tolist()
            for name, gates in look.gates.items():
                self._takers.setdefault(name, []).extend(_takers(g) for g in gates[row, real])
            if len(self._ids) >= self.most:
                return
            if len(real):
                self._ends.append(len(self._ids))

    def texts(self) -> list[str]:
        """The tokens, joined they read as the text; rows of examples are lines."""
        texts = running(self.vocabulary, self._ids)
        if not self.goes_on:
            for end in self._ends:
                texts[end - 1] += "\n"
        return texts

    def takers(self, name: str) -> list[list[list]]:
        """For each token `[expert, gate]` of those that took it, the greatest gate first."""
        return self._takers[name]


def _takers(gates: np.ndarray) -> list[list]:
    order = np.argsort(-gates, kind="stable")[:_NAMED]
    return [[int(e), round(float(gates[e]), 3)] for e in order if gates[e] > 0]
