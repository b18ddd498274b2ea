"""Hardware abstraction: one small interface per kind of device, real drivers, and the simulator."""
