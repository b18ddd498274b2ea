"""What is known about the instrument and asked of it: states, snapshot, requests."""
