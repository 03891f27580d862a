"""The embedded corpus: English prose from documentation that every installation carries.

The reference pages of `pydoc_data.topics` and the docstrings of the standard library, numpy,
tensorflow and keras with their companion packages, read from their source files without importing
them.

Markup to prose: the English paragraphs of reStructuredText, Markdown and docstrings.
"""

import ast
import contextlib
import functools
import gc
import importlib.util
import inspect
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from pipelines.sources.records import BadRecords, Document

PACKAGES = {
    "numpy": ("numpy",),
    "tensorflow": ("tensorflow", "tensorflow_text", "tensorflow_datasets"),
    "keras": ("keras", "keras_hub"),
}
# Where numpy keeps the docstrings of what it has compiled: calls of `add_newdoc(..., "text")`.
_NUMPY_ADDED_DOCS = "_add_newdocs"
# Tests, and folders that repeat the docstrings of others under a public name.
_TEST_FOLDERS = frozenset(("test", "tests", "testing", "idle_test"))
_OTHER_FOLDERS = frozenset(
    ("_api", "api", "ensurepip", "include", "lib2to3", "site-packages", "dist-packages")
)


class PythonDocs:
    """The corpus, in a fixed order: a document a module, a paragraph a line.

    No paragraph appears twice. The origin of a document is its library: `python` for the language
    reference, `stdlib`, `numpy`, `tensorflow` or `keras`. The first pass reads the source files, in
    about 12 seconds of one core; the object keeps the 8 MB of text for further ones.

    Attributes:
        description: the versions of everything it is read from.
        splits: it has no validation split of its own.
        fraction_read: how much of the corpus this pass has read, 0 to 1.
    """

    splits = ("train",)

    def __init__(self):
        installed = [name for names in PACKAGES.values() for name in names if _folder(name)]
        versions = [f"{name} {metadata.version(name)}" for name in installed]
        python = sys.version.split()[0]
        self.description = f"python_docs ({', '.join([f'python {python}', *versions])})"
        self.fraction_read = 0.0
        self._corpus = None

    def num_slices(self, split: str) -> int:
        del split
        return 1

    def documents(
        self, split: str, bad: BadRecords, number: int | None = None
    ) -> Iterator[Document]:
        """Yields the documents, all of which are one slice."""
        del split, number
        corpus = []
        for document in self._extract() if self._corpus is None else self._replay():
            corpus.append(document)
            yield from bad.screen(document.text, document.origin, f"python_docs {len(corpus)}")
        self._corpus = corpus

    def _extract(self) -> Iterator[Document]:
        seen, pages = set(), _pages()
        for number, (origin, read) in enumerate(pages, 1):
            self.fraction_read = number / len(pages)
            new = [p for p in paragraphs(read()) if p not in seen and not seen.add(p)]
            if new:
                yield Document("\n".join(new), origin)

    def _replay(self) -> Iterator[Document]:
        for number, document in enumerate(self._corpus, 1):
            self.fraction_read = number / len(self._corpus)
            yield document


def _pages() -> list[tuple[str, Callable[[], str]]]:
    """Every page of documentation: its library, and how to read it."""
    pages = []
    if importlib.util.find_spec("pydoc_data"):
        from pydoc_data import topics

        texts = topics.topics
        pages += [("python", functools.partial(texts.get, name)) for name in sorted(texts)]
    folders = [("stdlib", Path(sysconfig.get_paths()["stdlib"]))]
    for origin, names in PACKAGES.items():
        folders += [(origin, _folder(name)) for name in names if _folder(name)]
    for origin, folder in folders:
        paths = [p for p in sorted(folder.rglob("*.py")) if not _is_skipped(p.relative_to(folder))]
        pages += [(origin, functools.partial(_docstrings, path)) for path in paths]
    return pages


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Syntax trees have no cycles, but are so many objects that the collector starts again and
    again, each time on all that TensorFlow holds: a quarter of the time of reading.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_skipped(path: Path) -> bool:
    is_test = path.stem.endswith("_test") or path.stem.startswith("test_")
    return is_test or not (_TEST_FOLDERS | _OTHER_FOLDERS).isdisjoint(path.parts)


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _docstrings(path: Path) -> str:
    """Every docstring of a module, separated by blank lines, in the order of the source."""
    source = path.read_bytes()
    if b'"""' not in source and b"'''" not in source:
        return ""
    try:
        with warnings.catch_warnings(), _no_garbage_collection():
            warnings.simplefilter("ignore")
            pending = [ast.parse(source)]
    except (SyntaxError, ValueError):
        # Templates and fixtures of other Python versions are not modules.
        return ""
    texts = _added_docs(pending[0]) if path.stem.startswith(_NUMPY_ADDED_DOCS) else []
    while pending:
        body = pending.pop().body
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            text = body[0].value.value
            texts += [inspect.cleandoc(text)] if isinstance(text, str) else []
        pending += [
            node
            for node in reversed(body)
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        ]
    return "\n\n".join(texts)


def _added_docs(module: ast.Module) -> list[str]:
    """The texts that a module hands to `add_newdoc`, in the order of the source."""
    calls = [node.value for node in module.body if isinstance(node, ast.Expr)]
    constants = [
        argument
        for call in calls
        if isinstance(call, ast.Call)
        for outer in call.args
        for argument in ast.walk(outer)
        if isinstance(argument, ast.Constant)
    ]
    texts = [c.value for c in constants if isinstance(c.value, str) and "\n" in c.value]
    return [inspect.cleandoc(text) for text in texts]


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
