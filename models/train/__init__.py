"""Training of the networks; needs the extra ``train`` and never runs on the instrument."""
