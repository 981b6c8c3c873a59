"""Access to the machine: files, processes, memory, devices, threads and secrets."""
