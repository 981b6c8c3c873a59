"""Functions for the machine: files, processes, memory, devices, threads and secrets."""
