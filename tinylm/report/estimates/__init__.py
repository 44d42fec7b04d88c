"""Kinds of quantity that a claim can be about: one class a file, found by the file's name."""
