"""Everything about configs: composition, validation, the registry of options, run ids, configs of reference runs."""
