"""The states of the instrument and the thread that walks through them, one run at a time."""
