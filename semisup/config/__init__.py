"""Compose and validate configs, find options by name, and compute run ids and the configs of reference runs."""
