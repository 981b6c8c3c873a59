"""Configs: composition, schema, registry of options, run ids and reference runs."""
