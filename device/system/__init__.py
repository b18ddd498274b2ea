"""The instrument in its system: events, service manager, signals, version."""
