"""Tensors in, tensors out: types, events, losses, metrics, random streams, image operations."""
