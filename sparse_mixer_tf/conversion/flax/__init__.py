"""Checkpoints of the published Flax code."""
