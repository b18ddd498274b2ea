"""The settings: sections, file, numbers that people type."""
