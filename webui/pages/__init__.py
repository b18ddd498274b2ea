"""The pages of the touchscreen."""
