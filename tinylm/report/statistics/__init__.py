"""Differences, correlations, lines and their intervals: numbers in, numbers out."""
