"""What the analysis costs, and how many times less than the paper's own networks."""
