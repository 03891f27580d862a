"""Documents become tokens on disk, in shards."""
