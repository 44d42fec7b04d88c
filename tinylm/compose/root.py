"""Where Hydra finds the shipped configs and sweeps."""

from __future__ import annotations

from pathlib import Path

from tinylm.shipped import config_root

__all__ = ["config_root", "sweeps_parent"]


def sweeps_parent() -> Path:
    """The folder that holds ``sweeps/``."""
    root = config_root()
    return root if (root / "sweeps").is_dir() else root.parent
