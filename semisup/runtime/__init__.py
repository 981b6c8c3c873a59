"""Functions that depend on the machine: files, processes, memory, devices, threads and secrets."""
