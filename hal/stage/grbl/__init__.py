"""GRBL 1.1 motion controller: wire format, codes, profile and the stage driver."""
