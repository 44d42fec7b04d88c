"""Speed, measured against the machine's own limit and against other training loops: ``python -m benchmarks``."""
