"""Brainformer language models."""
