"""Compose and validate configs, find options by name, compute run ids, and derive the configs of reference runs."""
