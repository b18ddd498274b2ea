"""One archive that says what happened to an instrument, and nothing of any patient."""
