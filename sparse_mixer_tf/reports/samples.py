"""The model's answers to a few held-out examples."""

from html import escape

from pipelines.tokenizers.sentencepiece_model import readable
from sparse_mixer_tf.experiments.log import RunLog
from sparse_mixer_tf.reports import html
from sparse_mixer_tf.reports.html import Section


def sections(log: RunLog) -> list[Section]:
    """Masked words filled in, or texts continued; nothing for other runs."""
    found = []
    fills = [sample for sample in log.samples if "predictions" in sample]
    if fills:
        text = "What stood at each mask, and the three words that the model finds likeliest."
        found.append(Section("Sample fills", text, html.grid(map(_filled, fills))))
    continued = [sample for sample in log.samples if "continuation" in sample]
    if continued:
        text = "The prompt is pale; what follows the model wrote, drawing each symbol by chance."
        found.append(Section("Continued text", text, html.grid(map(_continued, continued))))
    return found


def _filled(sample: dict) -> str:
    """A masked sentence, and under it what stood at each mask beside what the model proposes."""
    rows = [
        (escape(readable(prediction["truth"])), _proposals(prediction["truth"], prediction["top"]))
        for prediction in sample["predictions"]
    ]
    return f"<blockquote>{escape(sample['text'])}</blockquote>" + html.table(
        rows, ("truth", "the model's words")
    )


def _continued(sample: dict) -> str:
    return (
        f'<blockquote style="white-space: pre-wrap"><span class="soft">{escape(sample["prompt"])}'
        f"</span>{escape(sample['continuation'])}</blockquote>"
    )


def _proposals(truth: str, top: list) -> str:
    return " · ".join(
        f'<span class="{"right" if piece == truth else "other"}">{escape(readable(piece))}</span> '
        f'<span class="soft">{probability:.0%}</span>'
        for piece, probability in top
    )
