"""Tokenizing, packing and decoding inside a graph."""
