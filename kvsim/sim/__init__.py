"""The simulated world on SimPy: network, machines, disks, clocks and faults."""
