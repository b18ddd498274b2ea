"""One archive that tells what became of an instrument, and of no patient."""
