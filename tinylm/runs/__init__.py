"""Runs: parts in, RunRecords out; knows no Hydra."""
