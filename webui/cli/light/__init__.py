"""Commands around the UV line: switch it off, supervise it."""
