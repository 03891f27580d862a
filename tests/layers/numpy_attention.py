"""Attention over a span written down once more, query by query, in float64."""

import numpy as np


def attention(x, memory, table, weights, num_heads, *, mask=None, attend_to_self=False):
    """Return the outputs of `RelativeSelfAttention`, written by hand.

    Args:
        x: [batch, block, d_model].
        memory: [batch, rows, d_model].
        table: [span, d_head], the nearest distance last.
        weights: dict of `query`, `key`, `value`, `out` [d_model, d_model].
        num_heads: int.
        mask: function from a head and the number of slots back from the nearest to a number.
        attend_to_self: whether the nearest slot is the token itself.
    """
    batch, block, d_model = x.shape
    span, d_head = table.shape
    y = np.zeros(x.shape)
    for row in range(batch):
        for query_place in range(block):
            for head in range(num_heads):
                columns = slice(head * d_head, (head + 1) * d_head)
                query = (x[row, query_place] @ weights["query"])[columns]
                logits, values, visible = [], [], []
                for slot in range(span):
                    back = span - 1 - slot
                    place = query_place - back - (0 if attend_to_self else 1)
                    source = np.zeros(d_model)
                    if place >= 0:
                        source = x[row, place]
                    elif -place <= memory.shape[1]:
                        source = memory[row, place]
                    key = (source @ weights["key"])[columns]
                    values.append((source @ weights["value"])[columns])
                    logits.append(query @ (key + table[slot]) / np.sqrt(d_head))
                    visible.append(1.0 if mask is None else mask(head, back))
                weight = np.exp(np.array(logits) - max(logits))
                weight = weight / weight.sum() * np.array(visible)
                if mask is not None:
                    weight /= weight.sum() + 1e-8
                y[row, query_place, columns] = weight @ np.array(values)
    return y @ weights["out"]
