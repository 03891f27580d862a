"""Strategies, clusters and expert parallelism."""
