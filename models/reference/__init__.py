"""The paper's networks and the machine's ceilings: graphs without weights, for timing alone."""
