"""One run, from its stored start to its stored end."""
