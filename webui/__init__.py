"""The touchscreen pages and the results API."""
