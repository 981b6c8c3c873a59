"""Render HTML pages as self-contained files that need neither a server nor a network connection."""
