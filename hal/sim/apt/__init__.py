"""APT controllers and their stage, message by message."""
