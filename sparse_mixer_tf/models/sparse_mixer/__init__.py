"""Sparse Mixer encoders."""
