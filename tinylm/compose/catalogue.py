"""What can be named on the command line: sweeps with their questions, groups with their options."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from tinylm.compose.root import config_root, sweeps_parent


def sweeps(own: str | None = None) -> dict[str, str]:
    """Sweep name -> its question."""
    found = {}
    for parent in [sweeps_parent(), *([Path(own)] if own else [])]:
        for path in sorted((parent / "sweeps").glob("*.yaml")):
            claim = OmegaConf.select(OmegaConf.load(path), "claim") or {}
            found[path.stem] = str(claim.get("question", "")).strip()
    return found


def variants(own: str | None = None) -> dict[str, str]:
    """Config group -> its options."""
    found: dict[str, list[str]] = {}
    for root in [config_root(), *([Path(own)] if own else [])]:
        for path in sorted(root.rglob("*.yaml")):
            group = path.parent.relative_to(root).as_posix()
            if group not in (".", "sweeps") and not group.startswith("hydra"):
                found.setdefault(group, []).append(path.stem)
    return {group: ", ".join(sorted(set(options))) for group, options in sorted(found.items())}
