"""Parts that every program shares: flags, exit codes, output folders."""
