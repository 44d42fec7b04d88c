"""What a run imports, imported once before any is forked (about 4 s that each run then saves)."""

import lightning  # noqa: F401
import torch  # noqa: F401

import tinylm.runs.lifecycle  # noqa: F401
