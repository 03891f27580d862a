"""Reports without pictures, whose rendering takes longer than all the rest."""

import io

import pytest
from PIL import Image

from sparse_mixer_tf.reports import plots


@pytest.fixture
def dots(monkeypatch):
    """Pictures of a single point."""
    dot = io.BytesIO()
    Image.new("P", (1, 1)).save(dot, "png")
    monkeypatch.setattr(plots, "png", lambda figure: dot.getvalue())
