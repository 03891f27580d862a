"""The check that an export answers as its run does."""
