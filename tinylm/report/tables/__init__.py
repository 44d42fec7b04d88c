"""Tables of a report: frames of text out of runs and verdicts."""
