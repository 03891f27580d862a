"""The report of a run: one quiet page, and a few lines on the console."""

from sparse_mixer_tf.reports.console import console_summary
from sparse_mixer_tf.reports.page import write

__all__ = ["console_summary", "write"]
