import subprocess
import sys
from pathlib import Path

from pipelines.sources import python_docs
from pipelines.sources.python_docs import PythonDocs, paragraphs
from pipelines.sources.records import BadRecords


def read_some(monkeypatch, modules):
    """The corpus of the language reference and a few modules, read as the whole would be."""
    monkeypatch.setattr(python_docs, "PACKAGES", {})
    everything = python_docs._pages()
    chosen = [p for p in everything if p[0] == "python" or Path(p[1].args[0]).stem in modules]
    monkeypatch.setattr(python_docs, "_pages", lambda: chosen)
    corpus = PythonDocs()
    return corpus, list(corpus.documents("train", BadRecords(0)))


def test_documents_are_prose_paragraphs_with_the_name_of_their_library(monkeypatch):
    _, documents = read_some(monkeypatch, {"textwrap", "argparse"})
    assert {document.origin for document in documents} == {"python", "stdlib"}
    text = "\n".join(document.text for document in documents)
    assert len(text) > 100_000
    assert "Collapse and truncate the given text to fit in the given width." in text
    assert ">>>" not in text and "```" not in text


def test_no_paragraph_comes_twice_and_a_second_pass_is_the_same(monkeypatch):
    corpus, documents = read_some(monkeypatch, {"textwrap", "threading"})
    paragraphs = [line for document in documents for line in document.text.split("\n")]
    assert len(set(paragraphs)) == len(paragraphs) > 500
    assert list(corpus.documents("train", BadRecords(0))) == documents
    assert corpus.fraction_read == 1.0


def test_tests_and_second_copies_of_packages_are_left_out():
    paths = [Path(read.args[0]) for origin, read in python_docs._pages() if origin != "python"]
    assert len(paths) > 1000
    assert not [path for path in paths if path.stem.startswith("test_") or "tests" in path.parts]
    assert not [path for path in paths if "tensorflow/_api" in str(path)]
    assert {"numpy", "keras", "tensorflow"} <= {origin for origin, _ in python_docs._pages()}


def test_the_corpus_is_found_without_importing_the_libraries():
    code = (
        "import sys; from pipelines.sources.python_docs import PythonDocs\n"
        "PythonDocs().description\n"
        "print(sorted({'numpy', 'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_docstrings_of_what_numpy_has_compiled_are_read_too():
    pages = [r for origin, r in python_docs._pages() if origin == "numpy"]
    added = [read for read in pages if read.args[0].stem == "_add_newdocs"]
    assert added and "An array object represents a multidimensional, homogeneous" in added[0]()


DOCSTRING = """Computes the weighted `mean` of **all** elements along an :func:`axis`.

The result is `nan` where the weights sum to zero, see [the guide](https://x.org/guide).

>>> mean([1, 2, 3])
2.0

```python
This block of code reads like a sentence of prose but is none.
```

Parameters
----------
values : array_like
    The numbers of which the mean is taken.
axis : int
    Optional.

Args:
  weights (tf.Tensor): How much each of the numbers counts for.
  keepdims: bool

Returns:
  The mean of the numbers, a tensor without the given axis.

Short one.

x = y + z; for i in range(10): print(i, x[i], y[i], z[i]).
"""


def test_prose_stays_without_markup_and_code_tables_and_headings_go():
    assert list(paragraphs(DOCSTRING)) == [
        "Computes the weighted mean of all elements along an axis.",
        "The result is nan where the weights sum to zero, see the guide.",
        "The numbers of which the mean is taken.",
        "How much each of the numbers counts for.",
        "The mean of the numbers, a tensor without the given axis.",
    ]


def test_a_paragraph_of_several_lines_becomes_one_line():
    text = "A sentence that the author\n   has broken over three\n   short lines of text."
    assert list(paragraphs(text)) == [" ".join(text.split())]
