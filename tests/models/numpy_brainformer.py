"""The original Brainformer written down once more, in float64 and without gradients."""

import numpy as np

from tests.layers.numpy_attention import attention


def brainformer(weights, architecture, token_ids, memory, num_heads, selected, *, share=True):
    """Logits and new memories of one block of tokens.

    Args:
        weights: arrays by path, of a model with fixed spans.
        architecture: blocks between dots, no repeats.
        token_ids: [batch, block].
        memory: [batch, num_memories, span, d_model].
        num_heads: int.
        selected: experts a token meets.
        share: whether letters of a block share weights and memory.
    """
    h = weights["token_embedding/embeddings"][token_ids]
    span = memory.shape[2]
    index, remembered = 0, []
    for letters in architecture.split("."):
        first_use, entering = {}, h
        counted = False
        for letter in letters:
            if not share or letter not in first_use:
                first_use[letter] = f"sublayer_{index:02d}_{letter}"
            index += 1
            own = {
                path.split("/", 1)[1]: array
                for path, array in weights.items()
                if path.startswith(first_use[letter] + "/")
            }
            if letter == "s":
                if not share or not counted:
                    remembered.append(entering if share else h)
                    counted = True
                old = memory[:, len(remembered) - 1]
                kernels = {
                    n: own[f"attention/{n}/kernel"] for n in ("query", "key", "value", "out")
                }
                y = attention(h, old, weights["position_table/table"], kernels, num_heads)
            elif letter == "f":
                hidden = h @ own["feed_forward/intermediate/kernel"]
                hidden = np.maximum(hidden + own["feed_forward/intermediate/bias"], 0)
                y = hidden @ own["feed_forward/output/kernel"] + own["feed_forward/output/bias"]
            else:
                y = experts(own, h, selected)
            h = layer_norm(h + y, own["layer_norm/gamma"], own["layer_norm/beta"])
    new = [
        np.concatenate([memory[:, i], rows], axis=1)[:, -span:] for i, rows in enumerate(remembered)
    ]
    logits = h @ weights["output_projection/kernel"] + weights["output_projection/bias"]
    return logits, np.stack(new, axis=1)


def experts(own, h, selected):
    y = np.zeros_like(h)
    for place in np.ndindex(h.shape[:2]):
        x = h[place]
        logits = x @ own["moe/router/kernel"] + own["moe/router/bias"]
        chosen = np.argsort(-logits)[:selected]
        scores = np.exp(logits[chosen] - logits.max())
        for expert, score in zip(chosen, scores / scores.sum(), strict=True):
            kernel_in, bias_in, kernel_out, bias_out = (
                own[f"moe/experts/{name}"][expert]
                for name in ("kernel_in", "bias_in", "kernel_out", "bias_out")
            )
            y[place] += score * (np.maximum(x @ kernel_in + bias_in, 0) @ kernel_out + bias_out)
    return y


def layer_norm(x, gamma, beta):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * gamma + beta
