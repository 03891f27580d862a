"""Times as a person says them.

The parts of a page, as HTML. Whatever comes from data is escaped here.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from sparse_mixer_tf.reports.plots import Chart
from sparse_mixer_tf.reports.theme import DARK, LIGHT, STYLE


def duration(seconds: float) -> str:
    """`0.42 s`, `8 min 20 s`, `3 h 20 min`.

    >>> duration(500)
    '8 min 20 s'
    """
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


# Nothing is loaded and nothing runs, whatever a text in the page may try.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """A heading, a sentence that says what to look for, and what there is to see.

    Attributes:
        title: plain text.
        caption: plain text.
        body: HTML.
    """

    title: str
    caption: str
    body: str

    @property
    def anchor(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


def document(title: str, head: str, sections: Sequence[Section], more_style: str = "") -> str:
    """A whole page.

    Args:
        title: plain text.
        head: HTML before the sections.
        sections: with links to them at the top.
        more_style: CSS of this page alone.
    """
    links = "".join(f'<a href="#{s.anchor}">{escape(s.title)}</a>' for s in sections)
    body = "\n".join(
        f'<section id="{s.anchor}"><h2>{escape(s.title)}</h2>{caption(s.caption)}{s.body}</section>'
        for s in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}{more_style}</style></head>\n"
        f"<body><header>{head}</header><nav>{links}</nav>\n{body}</body></html>\n"
    )


def caption(text: str) -> str:
    return f'<p class="caption">{escape(text)}</p>' if text else ""


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), numbers: Sequence[int] = ()):
    """Rows of cells that are HTML already; the first cell of each names the row.

    Args:
        rows: at least one cell each.
        head: of the columns, HTML.
        numbers: columns that are set flush right.
    """

    def cell(tag: str, column: int, content: str) -> str:
        kind = ' class="number"' if column in numbers else ""
        return f"<{tag}{kind}>{content}</{tag}>"

    top = "".join(cell("th", column, content) for column, content in enumerate(head))
    lines = "".join(
        "<tr>" + "".join(cell("td" if c else "th", c, x) for c, x in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table>{f"<tr>{top}</tr>" if head else ""}{lines}</table></div>'


def bar(share: float, text: str = "") -> str:
    """A bar as long as the share of [0, 1], and a text behind it."""
    width = 100 * min(max(share, 0.0), 1.0)
    return f'<span class="bar"><i style="width:{width:.1f}%"></i></span>{escape(text)}'


def figure(chart: Chart, note: str = "") -> str:
    """A picture for both colour schemes, held by the page itself."""
    return picture(chart.description, chart.draw(LIGHT), chart.draw(DARK), note)


def picture(description: str, light: bytes, dark: bytes, note: str = "") -> str:
    """As `figure`, of PNG bytes."""

    def source(png: bytes) -> str:
        return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"

    below = f"<figcaption>{escape(note)}</figcaption>" if note else ""
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{source(dark)}">'
        f'<img src="{source(light)}" alt="{escape(description)}"></picture>{below}</figure>\n'
    )


def charts(figures: Iterable[str]) -> str:
    return f'<div class="charts">{"".join(figures)}</div>'


def grid(examples: Iterable[str]) -> str:
    """HTML of examples, beside each other where there is room."""
    return f'<div class="samples">{"".join(f"<div>{each}</div>" for each in examples)}</div>'


def tabs(name: str, panels: Sequence[tuple[str, str]]) -> str:
    """Panels of which one is seen, chosen by radio buttons, without a script.

    Args:
        name: of the group, once a page.
        panels: (label, HTML).
    """
    if len(panels) == 1:
        return panels[0][1]
    parts = []
    for number, (label, content) in enumerate(panels):
        key, checked = f"{name}-{number}", "" if number else " checked"
        parts.append(
            f'<input type="radio" name="{name}" id="{key}"{checked}>'
            f'<label for="{key}">{escape(label)}</label><div class="panel">{content}</div>'
        )
    return f'<div class="tabs">{"".join(parts)}</div>'


def folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
