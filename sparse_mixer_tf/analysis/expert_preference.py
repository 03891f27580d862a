"""The tokens that an expert takes more often than their share."""

import numpy as np

# Of thousands of pieces some are always taken three times out of three.
MIN_COUNT = 5
LISTED = 10


class Takings:
    """Counts of the tokens that each expert took, by token id.

    Attributes:
        taken: int64 [num_experts, vocabulary].
        seen: int64 [vocabulary], how often each id was there to be taken.
        gate_sum: float64 [num_experts], gates of all that was taken, added up.
        untaken: tokens that no expert took.
    """

    def __init__(self, num_experts: int, vocabulary_size: int):
        self.taken = np.zeros((num_experts, vocabulary_size), np.int64)
        self.seen = np.zeros(vocabulary_size, np.int64)
        self.gate_sum = np.zeros(num_experts)
        self.untaken = 0

    def add(self, token_ids: np.ndarray, gates: np.ndarray) -> None:
        """Adds real tokens.

        Args:
            token_ids: int [tokens].
            gates: float [tokens, num_experts]; above 0 where an expert took a token.
        """
        took = gates > 0
        for expert, column in enumerate(took.T):
            self.taken[expert] += np.bincount(token_ids[column], minlength=len(self.seen))
        self.seen += np.bincount(token_ids, minlength=len(self.seen))
        self.gate_sum += gates.sum(0)
        self.untaken += int((~took.any(-1)).sum())

    def preferred(self, expert: int, min_count: int = MIN_COUNT, most: int = LISTED) -> list[dict]:
        """The ids that an expert takes far more often than it takes tokens at all.

        The lift is the expert's share of an id's tokens over its share of all tokens. They are in
        the order of what the lift is at least, since 13 of 13 says less than 1,137 of 1,139.

        Returns:
            `{"id", "lift", "count", "seen"}`; none with a lift that may as well be 1.
        """
        counts = self.taken[expert]
        usual = counts.sum() / max(self.seen.sum(), 1)
        at_least = lower_bound(counts, self.seen)
        candidates = np.flatnonzero((counts >= min_count) & (at_least > usual))
        order = candidates[np.argsort(-at_least[candidates], kind="stable")]
        return [
            {
                "id": int(i),
                "lift": round(float(counts[i] / self.seen[i] / usual), 3),
                "count": int(counts[i]),
                "seen": int(self.seen[i]),
            }
            for i in order[:most]
        ]

    def mean_gates(self) -> np.ndarray:
        """Mean gate of what each expert took, float [num_experts]."""
        return self.gate_sum / np.maximum(self.taken.sum(-1), 1)


def lower_bound(hits: np.ndarray, trials: np.ndarray, z: float = 1.96) -> np.ndarray:
    """Return the lower bound of a share at 97.5 % confidence; 0 where nothing was tried.

    Args:
        hits, trials: int [n].

    Returns:
        float64 [n].

    References:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    n = np.maximum(trials, 1)
    share = hits / n
    middle = share + z**2 / (2 * n)
    spread = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.maximum((middle - spread) / (1 + z**2 / n), 0.0)
