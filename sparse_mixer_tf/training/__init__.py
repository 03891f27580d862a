"""The training loop: one step under every strategy, and a run that continues where it stopped."""
