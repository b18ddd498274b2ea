"""The networks: files with manifest and cards, the runtime that runs them, and their training."""
