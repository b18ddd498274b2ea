"""The results API."""
