"""How often the verdict engine errs, and finds, and covers: ``python -m benchmarks.calibration``."""
