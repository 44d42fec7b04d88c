"""The command line: parses words, calls a lower floor, prints, ends with an exit code."""
