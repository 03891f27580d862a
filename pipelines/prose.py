"""Markup to prose: the English paragraphs of reStructuredText, Markdown and docstrings."""

import re
from collections.abc import Iterator

_FENCED_BLOCK = re.compile(r"^[ \t]*(```|~~~).*?^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_UNDERLINE = re.compile(r"^\s*([-=~^*\"'+#.`_])\1{2,}\s*$", re.MULTILINE)
_NOT_PROSE = re.compile(
    r">>>|^\.\.[ \n]|^\s*\||\|\s*$|^\s*[@$%#]|^\s*(?:def|class|import|from|return) .*[:(=]"
    r"|^\s*:\w+.*?:",
    re.MULTILINE,
)
# The head of a described parameter: "name: " and "name (type): " of Google's style, "name : type"
# of numpy's, "Returns:".
_ENTRY = re.compile(
    r"^[ \t]*\**`*(?:\w[\w.]*|\*{1,2}\w+)(?:, \w+)*`*(?:[ \t]*\([^)\n]*\))?"
    r"(?:[ \t]+:[^\n]*|:(?=\s))",
    re.MULTILINE,
)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)|`([^`<]+?)\s*<[^>]*>`_{0,2}")
_ROLE = re.compile(r":[\w:+-]+:`[~!]?([^`]*)`")
_QUOTING = re.compile(r"``?([^`]+)``?_{0,2}|\*\*([^*]+)\*\*|(?<!\w)\*([^*\s][^*]*)\*(?!\w)")
_URL = re.compile(r"<?https?://\S+>?")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d+[.)]|\(\w\))\s+", re.MULTILINE)
_SENTENCE_END = (".", "!", "?", ":", '."', ".)", ".'")
_FEWEST_WORDS = 6
# Letters, spaces and commas are 97% of edited prose; signatures and tables stay well below.
_PROSE_SHARE = 0.87


def paragraphs(text: str) -> Iterator[str]:
    """Yields the prose paragraphs of a document, each on one line, without markup.

    Code, doctest lines, headings and directives are left out; of a table of parameters only the
    descriptions stay.
    """
    text = _UNDERLINE.sub("", _FENCED_BLOCK.sub("", text))
    for block in re.split(r"\n\s*\n", text):
        if not _NOT_PROSE.search(block):
            for entry in _ENTRY.split(block):
                line = _strip_markup(" ".join(_BULLET.sub("", entry).split()))
                if _is_prose(line):
                    yield line


def _is_prose(line: str) -> bool:
    if len(line.split()) < _FEWEST_WORDS or not line.endswith(_SENTENCE_END):
        return False
    letters = sum(c.isalpha() or c in " ,'" for c in line)
    return letters >= _PROSE_SHARE * len(line)


def _strip_markup(line: str) -> str:
    for pattern in (_LINK, _ROLE, _QUOTING):
        line = pattern.sub(lambda match: next(g for g in match.groups() if g is not None), line)
    return " ".join(_URL.sub("", line).split())
