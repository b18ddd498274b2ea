"""One small interface for each kind of device."""
