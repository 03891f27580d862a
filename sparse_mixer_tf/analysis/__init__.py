"""Behaviour of a trained model on held-out data, as plain numbers for a report."""
