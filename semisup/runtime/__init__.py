"""The machine: files, processes, memory, devices, threads and secrets."""
