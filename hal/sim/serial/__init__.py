"""What the emulated stage controllers share: pseudo-terminals and motion."""
