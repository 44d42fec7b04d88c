"""Reading the results: frames, comparisons, figures and pages; importable without torch."""
