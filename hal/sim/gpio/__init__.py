"""The GPIO module of the simulation, which records every edge."""
