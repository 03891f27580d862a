"""What every program shares: flags, exit codes, output folders."""
