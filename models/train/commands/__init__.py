"""``leukolux train``: from samples to shipped networks."""
