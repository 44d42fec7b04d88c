"""One figure a file; each takes frames and returns a matplotlib Figure."""
