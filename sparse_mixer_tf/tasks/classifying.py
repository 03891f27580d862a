"""What a classifier says of texts that nobody has labelled."""

from collections.abc import Sequence

import numpy as np

from pipelines import labelled_set
from pipelines.labelled_records import UNLABELLED, Example
from sparse_mixer_tf.tasks.classification import Classification
from sparse_mixer_tf.tasks.encoder import model_inputs


def classify(task: Classification, texts: Sequence[tuple[str, ...]]) -> list[dict]:
    """Classes and their probabilities, likeliest first, or the value of a regression.

    Args:
        task: restored and built.
        texts: the segments of each example, as many as the model was trained with.

    Returns:
        For each example `{"segments", "label", "probabilities": {label: share}}`, or
        `{"segments", "value"}`.
    """
    found = []
    for number, segments in enumerate(texts):
        # One at a time: the number of segments is the user's to choose.
        example = Example(tuple(segments), UNLABELLED, number, (number,))
        rows = labelled_set.tokenise(
            [example],
            task.vocabulary,
            task.data_settings.max_seq_length,
            task.data_settings.truncation,
        ).rows(np.zeros(1, np.int64))
        logits = np.asarray(task.model(model_inputs(task.model, rows), training=False))[0]
        if not task.labels:
            found.append({"segments": list(segments), "value": round(float(logits[0]), 4)})
            continue
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        order = np.argsort(-shares, kind="stable")
        found.append(
            {
                "segments": list(segments),
                "label": task.labels[order[0]],
                "probabilities": {task.labels[i]: round(float(shares[i]), 4) for i in order},
            }
        )
    return found
