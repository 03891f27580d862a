"""Self-attention: bidirectional, and relative over a cached span."""
