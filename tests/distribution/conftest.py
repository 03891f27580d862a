"""Runs on several devices and in several processes."""

from tests.reliability.conftest import programs  # noqa: F401
