"""The commands of ``leukolux``, one module each."""
