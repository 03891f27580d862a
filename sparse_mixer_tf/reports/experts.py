"""The experts: load, confidence, the words they take, a paragraph in their colours."""

from html import escape

import numpy as np

from sparse_mixer_tf.experiments.log import RunLog
from sparse_mixer_tf.reports import curves, html, plots
from sparse_mixer_tf.reports.html import Section
from sparse_mixer_tf.reports.plots import Chart, short_name
from sparse_mixer_tf.reports.theme import distinct


def charts(log: RunLog) -> list[Chart]:
    """Load over the steps, then what routers did: layer by layer where that was logged."""
    found = []
    steps, loads = log.expert_load()
    if loads:
        found.append(_load(steps, loads))
    means = {chart.name: chart for chart in curves.routing(log)}
    for key, title, unit in curves.ROUTING:
        at, layers = log.routing_by_layer(key)
        if len(layers) > 1 and key in means:
            found.append(_by_layer(key, title, unit, at, layers))
        elif key in means:
            found.append(means[key])
    return found


def load_section(found: list[Chart]) -> list[Section]:
    """The charts of load and routers; nothing for a run without experts."""
    if not found:
        return []
    text = (
        "An even load is one even colour; a strong row is an expert that most tokens go to, an "
        "empty one an expert that is hardly used. Confidence rises and entropy falls as routers "
        "make up their minds."
    )
    return [Section("Expert load", text, html.charts(map(html.figure, found)))]


def words_section(record: dict) -> list[Section]:
    """The words that experts prefer and a paragraph in their colours, layer by layer."""
    layers = record.get("experts", {})
    if not layers:
        return []
    text = (
        f"Looked at over {record['tokens']:,} held-out tokens with the weights of step "
        f"{record['step']:,}. Words are in the order of preference: how much more often an expert "
        "takes a word than it takes tokens at all, discounted for words seen seldom."
    )
    panels = [
        (short_name(name), _paragraph(record["paragraph"], layer) + _words(layer))
        for name, layer in layers.items()
    ]
    return [Section("What the experts take", text, html.tabs("experts", panels))]


def count(record: dict) -> int:
    """Experts of the layer that has most."""
    return max((len(layer["taken"]) for layer in record.get("experts", {}).values()), default=0)


def _load(steps, loads) -> Chart:
    bands = [(short_name(name), 100 * values) for name, values in loads.items()]
    return Chart(
        "expert_load",
        "Share of the tokens of each expert over training steps, by layer",
        lambda theme: plots.steps_heat(bands, steps, theme, "% of routed tokens"),
    )


def _by_layer(key, title, unit, steps, layers) -> Chart:
    found = [(short_name(name), steps, values) for name, values in layers.items()]

    def draw(theme):
        return plots.lines(
            found,
            theme,
            lambda axes: curves.label_axes(axes, key, title, unit),
            distinct(len(found), theme.lines),
        )

    return Chart(key, f"{title} over training steps, by layer", draw)


def _words(layer: dict) -> str:
    """An expert a row: number, share of what is taken, mean gate, words."""
    total = max(sum(layer["taken"]), 1)
    shares = [taken / total for taken in layer["taken"]]
    gates = layer["mean_gate"]
    # Experts that choose take equally many: what differs is how sure the router is of them.
    even = max(layer["taken"]) - min(layer["taken"]) <= 0.02 * max(layer["taken"])
    lengths = gates if even else shares
    rows = []
    for expert, words in enumerate(layer["words"]):
        told = f"gate {gates[expert]:.2f}" if even else f"{shares[expert]:.1%}"
        preferred = "".join(map(_word, words)) or '<span class="soft">no preference</span>'
        rows.append(
            f'<div class="expert"><span class="chip x{expert}">{expert}</span>'
            f"<div>{html.bar(lengths[expert] / max(*lengths, 1e-9), told)}</div>"
            f'<div class="words">{preferred}</div></div>'
        )
    text = "Behind each word: how often this expert took it, of how often it was there. "
    text += "Bars are mean gates, for all take equally many." if even else "Bars are shares."
    return f"<h3>Words</h3>{html.caption(text)}{''.join(rows)}"


def _word(word: dict) -> str:
    return (
        f'<span title="{word["lift"]:.1f} times its share">{escape(word["text"])} '
        f"<small>{word['count']:,}/{word['seen']:,}</small></span>"
    )


def _paragraph(texts: list[str], layer: dict) -> str:
    """Runs of tokens that went to one expert, in its colour and with its number."""
    parts, start = [], 0
    takers = layer["paragraph"]
    # A run of characters is told in one; of words each has gates of its own to tell.
    merges = all(len(text) <= 1 for text in texts)
    while start < len(texts):
        end = start + 1
        first = _first(takers[start])
        while merges and end < len(texts) and _first(takers[end]) == first:
            end += 1
        parts.append(_run("".join(texts[start:end]), first, takers[start], end - start))
        start = end
    untaken = layer["untaken"]
    text = (
        "Coloured and numbered by the expert whose output counts most; pointing at a word tells "
        "of the others."
    )
    if untaken:
        text += " Underlined words no expert took: they pass the layer unchanged."
    return f'<h3>A held-out text</h3>{html.caption(text)}<p class="coloured">{"".join(parts)}</p>'


def _first(takers: list) -> int | None:
    return takers[0][0] if takers else None


def _run(text: str, expert: int | None, takers: list, tokens: int) -> str:
    if text.endswith("\n") and text != "\n" and tokens == 1:
        return _run(text[:-1], expert, takers, tokens) + "\n"
    body = text.lstrip(" ")
    before = text[: len(text) - len(body)] if tokens == 1 else ""
    body = body if tokens == 1 else text
    if not body:
        # A space that is a token by itself.
        before, body = "", "\u2423"
    if expert is None:
        return f'{before}<span class="none" title="no expert">{escape(body)}</span>'
    told = ", ".join(f"expert {e}: {gate:.2f}" for e, gate in takers)
    told = told if tokens == 1 else f"expert {expert}, {tokens} tokens"
    return (
        f'{before}<span class="x{expert}" title="{told}">{escape(body)}<sup>{expert}</sup></span>'
    )


def final_loads(log: RunLog) -> dict[str, np.ndarray]:
    """Share of each expert at the last evaluation, by layer."""
    return {name: values[:, -1] for name, values in log.expert_load()[1].items()}
