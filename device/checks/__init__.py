"""One catalogue of checks of the instrument: at start-up, in the morning, on the command line."""
