"""Values for flags that are `auto`."""
