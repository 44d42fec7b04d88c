"""Formats of other houses, in both directions: model families, and what stands in a folder of theirs."""
