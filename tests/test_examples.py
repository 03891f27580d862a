"""The example notebook runs from its first cell to its last, and is stored as it was written."""

import os
import re
from pathlib import Path

import pytest

from tests.optional import import_package, need_packages

ROOT = Path(__file__).resolve().parents[1]
nbformat = import_package("nbformat")
NOTEBOOK = nbformat.read(ROOT / "examples/quickstart.ipynb", as_version=4)
CELLS = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> list:
    """The outputs of all cells, in their order."""
    # Notebooks are run by nbclient, their cells by ipykernel.
    nbclient = import_package("nbclient")
    need_packages("ipykernel")
    place = tmp_path_factory.mktemp("notebook")
    client = nbclient.NotebookClient(
        NOTEBOOK.copy(), timeout=300, resources={"metadata": {"path": str(ROOT)}}
    )
    own = {"IPYTHONDIR": str(place), "JUPYTER_RUNTIME_DIR": str(place), "TMPDIR": str(place)}
    done = client.execute(env=os.environ | own)
    return [output for cell in done.cells for output in cell.get("outputs", [])]


@pytest.fixture(scope="module")
def said(ran) -> str:
    return "".join(output.text for output in ran if output.get("name") == "stdout")


def test_the_notebook_is_stored_without_outputs():
    assert not [cell for cell in CELLS if cell.outputs or cell.execution_count is not None]


@pytest.mark.long("runs the whole notebook in a kernel of its own")
def test_it_learns_more_than_which_subject_is_the_more_frequent(said):
    learned, more_frequent = (
        float(re.search(rf"{name}: ([\d.]+)%", said)[1])
        for name in ("right on held-out paragraphs", "always the more frequent one")
    )
    assert learned > more_frequent + 5


@pytest.mark.long("runs the whole notebook in a kernel of its own")
def test_what_is_saved_and_what_is_served_say_the_same(said):
    assert float(re.search(r"largest difference of a logit: (\S+)", said)[1]) < 1e-5
    assert float(re.search(r"largest difference: (\S+)", said)[1]) < 1e-5


@pytest.mark.long("runs the whole notebook in a kernel of its own")
def test_it_draws_which_expert_took_which_token(ran):
    assert len([output for output in ran if "image/png" in output.get("data", {})]) == 1
