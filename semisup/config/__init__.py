"""Compose and validate configs, find options by name, compute run ids, and derive the configs of reference runs.

Reference runs are runs on labels only, with which a semi-supervised run is compared.
"""
