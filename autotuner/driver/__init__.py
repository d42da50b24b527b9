"""The study loop, in the driver's process; start reading with `loop`."""
