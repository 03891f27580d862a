from pipelines.prose import paragraphs

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
