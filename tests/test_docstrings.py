"""Docstrings open with an imperative or a plain noun phrase."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmarks", "examples", "pipelines", "sparse_mixer_tf", "tests")
QUESTION = re.compile(r"(What|How|Which|Where|Whether|Who|Whose|When|Why)\b")


def _docstrings(path: Path):
    """Yield line and text of every docstring of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def test_no_docstring_opens_with_a_question_word():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in _docstrings(path)
        if QUESTION.match(text)
    ]
    assert not found, "\n".join(found)
