"""Runs on several devices and in several processes."""

from tests.analysis.conftest import open_task, text  # noqa: F401
from tests.reliability.conftest import metadata, programs  # noqa: F401
