"""The published Brainformer's arithmetic in PyTorch: what `char_lm` and its curve hold ours
against.

Written anew after what the published code does, under its parameter names: post-norm; one
attention, feed-forward and layer of experts for all letters of a block; scores of a block with the
`block + span` rows before it, cut out by shifting rows; experts one after the other on the tokens
that chose them. Nothing here is slower than that form has to be.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_NUM_EXPERTS, _NUM_CHOICES = 16, 2
_RAMP = 32
_TRIM = 64  # the work of an adaptive span shrinks in steps of so many tokens


class Attention(nn.Module):
    """Relative attention of `[rows, block, d]` over the `[rows, cache + block, d]` before it."""

    def __init__(self, d_model: int, num_heads: int, span: int, adaptive: bool):
        super().__init__()
        self.num_heads, self.span = num_heads, span
        for name in ("query", "key", "val", "out"):
            setattr(self, f"proj_{name}", nn.Linear(d_model, d_model, bias=False))
        self.ratio = nn.Parameter(torch.zeros(num_heads, 1, 1)) if adaptive else None

    def trimmed(self) -> int:
        """Distances that no head sees any more, in steps."""
        if self.ratio is None:
            return 0
        longest = min(math.ceil(float(self.ratio.detach().max()) * self.span) + _RAMP, self.span)
        return min(self.span - 1, self.span - longest) // _TRIM * _TRIM

    def forward(self, hidden, context, positions):
        rows, block, d_model = hidden.shape
        trimmed = self.trimmed()
        span, positions = self.span - trimmed, positions[..., trimmed:]
        context = context[:, -(span + block) :]
        query = self._heads(self.proj_query(hidden))
        key, value = self._heads(self.proj_key(context)), self._heads(self.proj_val(context))
        content = _by_distance(query @ key.transpose(1, 2), span)
        scores = (content + query @ positions) / math.sqrt(query.shape[-1])
        weights = scores.softmax(-1)
        if self.ratio is not None:
            distance = torch.arange(1 - span, 1, dtype=torch.float32)
            visible = ((distance + self.ratio * self.span) / _RAMP + 1).clamp(0, 1)
            weights = (weights.view(rows, self.num_heads, block, span) * visible).flatten(0, 1)
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-8)
        attended = _by_key(weights) @ value
        attended = attended.view(rows, self.num_heads, block, -1).transpose(1, 2)
        return self.proj_out(attended.reshape(rows, block, d_model))

    def _heads(self, x):
        rows, length, d_model = x.shape
        x = x.view(rows, length, self.num_heads, d_model // self.num_heads)
        return x.transpose(1, 2).flatten(0, 1)


def _by_distance(scores, span: int):
    """`[n, block, block + span]` by key -> `[n, block, span]`, the nearest token last."""
    n, block, keys = scores.shape
    shifted = functional.pad(scores.flatten(1), (0, block)).view(n, block, keys + 1)
    return shifted[..., :span]


def _by_key(weights):
    """The inverse, zeros elsewhere."""
    n, block, span = weights.shape
    shifted = functional.pad(weights, (0, block + 1)).flatten(1)[:, :-block]
    return shifted.view(n, block, block + span)


class FeedForward(nn.Module):
    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)

    def forward(self, x):
        return self.fc2(self.fc1(x).relu())


class Experts(nn.Module):
    """Every token meets two of sixteen experts, weighted by the softmax over their two logits."""

    def __init__(self, d_model: int, d_ff: int):
        super().__init__()
        self.gate = nn.ModuleDict({"gate": nn.Linear(d_model, _NUM_EXPERTS)})
        self.experts = nn.ModuleDict(
            {"htoh4": _Weights(d_ff, d_model), "h4toh": _Weights(d_model, d_ff)}
        )
        self.layer_norm = nn.LayerNorm(d_model)

    def forward(self, x):
        tokens = x.flatten(0, -2)
        logits, chosen = self.gate["gate"](tokens).topk(_NUM_CHOICES)
        order = chosen.flatten().argsort(stable=True)
        counts = chosen.flatten().bincount(minlength=_NUM_EXPERTS).tolist()
        runs = tokens[order // _NUM_CHOICES].split(counts)
        inner, outer = self.experts["htoh4"], self.experts["h4toh"]
        answers = torch.cat([outer(inner(run, e).relu(), e) for e, run in enumerate(runs)])
        answers = torch.empty_like(answers).index_copy(0, order, answers)
        answers = answers.view(-1, _NUM_CHOICES, tokens.shape[-1])
        mixed = (logits.softmax(-1)[:, None] @ answers)[:, 0]
        return self.layer_norm(x + mixed.view(x.shape))


class _Weights(nn.Module):
    def __init__(self, d_out: int, d_in: int):
        super().__init__()
        bound = 1 / math.sqrt(d_in * d_out)
        self.weight = nn.Parameter(torch.empty(_NUM_EXPERTS, d_out, d_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(_NUM_EXPERTS, d_out))

    def forward(self, x, expert: int):
        return functional.linear(x, self.weight[expert], self.bias[expert])


class Block(nn.Module):
    def __init__(self, d_model: int, d_ff: int, num_heads: int, span: int, adaptive: bool):
        super().__init__()
        self.attn = Attention(d_model, num_heads, span, adaptive)
        self.ff, self.g = FeedForward(d_model, d_ff), Experts(d_model, d_ff)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def forward(self, letters: str, hidden, memory, positions):
        for letter in letters:
            if letter == "s":
                context = torch.cat([memory, hidden], 1)
                hidden = self.norm1(hidden + self.attn(hidden, context, positions))
            elif letter == "f":
                hidden = self.norm2(hidden + self.ff(hidden))
            else:
                hidden = self.g(hidden)
        return hidden


class Brainformer(nn.Module):
    """Token ids `[rows, block]` and a memory -> logits and the next memory."""

    def __init__(
        self, architecture: str, vocabulary_size: int, d_model: int, d_ff: int, num_heads: int,
        span: int, adaptive: bool,
    ):  # fmt: skip
        super().__init__()
        self.letters, self.span = architecture.split("."), span
        self.in_emb = nn.Embedding(vocabulary_size, d_model)
        self.out_emb = nn.Linear(d_model, vocabulary_size)
        self.key_pe = nn.Parameter(torch.randn(1, d_model // num_heads, span))
        self.layers = nn.ModuleList(
            Block(d_model, d_ff, num_heads, span, adaptive) for _ in self.letters
        )

    def initial_memory(self, rows: int) -> list:
        return [torch.zeros(rows, self._kept(b), self.in_emb.embedding_dim) for b in self.layers]

    def forward(self, ids, memory: list):
        hidden, following = self.in_emb(ids), []
        for block, letters, rows in zip(self.layers, self.letters, memory, strict=True):
            kept = self._kept(block)
            following.append(torch.cat([rows, hidden], 1)[:, -kept:].detach())
            hidden = block(letters, hidden, rows, self.key_pe)
        return self.out_emb(hidden), following

    def span_loss(self, factor: float):
        """Return the part of the loss that adaptive spans add."""
        ratios = [block.attn.ratio for block in self.layers]
        return factor * self.span * sum(ratio.mean() for ratio in ratios if ratio is not None)

    def _kept(self, block: Block) -> int:
        return min(self.span, self.span - block.attn.trimmed() + _TRIM)


class Adagrad:
    """Adagrad whose rate, not gradient, is clipped by the norm of each tensor's gradient."""

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, clip: float):
        self.rate, self.clip = rate, clip
        self.sums = [(p, torch.zeros_like(p)) for p in parameters]

    @torch.no_grad()
    def step(self) -> None:
        for parameter, total in self.sums:
            if (gradient := parameter.grad) is None:
                continue
            norm = float(gradient.norm())
            rate = self.rate * (self.clip / (norm + 1e-10) if norm > self.clip else 1.0)
            total.addcmul_(gradient, gradient)
            parameter.addcdiv_(gradient, total.sqrt().add_(1e-10), value=-rate)


def training_of(
    model: Brainformer,
    text: bytes,
    batch_size: int,
    block_size: int,
    span_loss: float,
    warmup_steps: int = 0,
) -> Iterator[float]:
    """The losses of published training steps on the bytes of a text, again and again, in nats.

    Args:
        span_loss: what a learned span costs a token.
        warmup_steps: the rate grows over so many steps, from 0 for the first.
    """
    optimizer = Adagrad(model.parameters(), rate=0.07, clip=0.03)
    peak, step = optimizer.rate, 0
    while True:
        memory = model.initial_memory(batch_size)
        for block in _blocks(text, batch_size, block_size):
            optimizer.rate = peak * min(1.0, step / warmup_steps) if warmup_steps else peak
            loss, memory = _loss(model, block, memory)
            model.zero_grad()
            (loss + model.span_loss(span_loss)).backward()
            optimizer.step()
            with torch.no_grad():
                for layer in model.layers:
                    if layer.attn.ratio is not None:
                        layer.attn.ratio.clamp_(0, 1)
            step += 1
            yield float(loss.detach())


@torch.no_grad()
def held_out_loss(model: Brainformer, text: bytes, batch_size: int, block_size: int) -> float:
    """The mean loss over the whole text, read once from an empty memory, in nats."""
    memory, losses = model.initial_memory(batch_size), []
    for block in _blocks(text, batch_size, block_size):
        loss, memory = _loss(model, block, memory)
        losses.append(float(loss))
    return sum(losses) / len(losses)


def _blocks(text: bytes, batch_size: int, block_size: int) -> Iterator[torch.Tensor]:
    """Blocks of contiguous rows and the byte after each, [batch_size, block_size + 1]."""
    ids = torch.from_numpy(np.frombuffer(text, np.uint8).astype(np.int64))
    ids = ids[: len(ids) // batch_size * batch_size].view(batch_size, -1)
    for position in range(0, ids.shape[1] - block_size, block_size):
        yield ids[:, position : position + block_size + 1]


def _loss(model: Brainformer, block, memory: list):
    logits, memory = model(block[:, :-1], memory)
    return functional.cross_entropy(logits.flatten(0, 1), block[:, 1:].flatten()), memory
