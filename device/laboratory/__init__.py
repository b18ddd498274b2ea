"""The analysis against the truth of simulated smears: scores and costs."""
