"""A simulated GenTL producer: a C library that any GenICam client loads, and a camera process."""
