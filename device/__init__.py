"""The instrument: states, run engine, acquisition, analysis, records, command line."""
