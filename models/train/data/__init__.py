"""Training images: simulated, stained, of a laboratory."""
