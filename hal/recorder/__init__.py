"""The recorder: what goes over the wires, kept for support."""
