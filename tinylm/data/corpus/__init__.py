"""Where documents come from: one corpus a file."""
