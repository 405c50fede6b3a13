"""The blocking client: all but `_io.py` is generated from `_async`."""
