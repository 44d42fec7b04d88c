"""Runs as frames: what was recorded, found again quickly, and made small enough to keep."""
