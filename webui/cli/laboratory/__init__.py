"""Commands of a laboratory: evaluation, sweeps, evidence, benchmark."""
