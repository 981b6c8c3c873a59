"""Parts that all other packages use: types, events, losses, metrics, random streams, image operations.

The functions take and return tensors or plain values; none reads or writes a file.
"""
