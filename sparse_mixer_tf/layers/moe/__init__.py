"""Sparse mixture of experts: routing, dispatch, experts."""
