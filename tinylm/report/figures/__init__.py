"""One figure a file; each takes frames and gives a matplotlib Figure."""
