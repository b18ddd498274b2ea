"""The virtual stain: samples, training, evaluation, release."""
