"""What can be named on the command line: sweeps with their questions, groups with their options."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf
from yaml import YAMLError

from tinylm.compose.complaints import not_yaml
from tinylm.compose.root import config_root, sweeps_parent
from tinylm.errors import UserError


def _own(folder: str | None) -> list[Path]:
    """The user's own folder of configs, if there is one.

    Raises:
        UserError: it is named and not there.
    """
    if folder is not None and not Path(folder).is_dir():
        raise UserError(f"--config-dir {folder}: there is no such folder")
    return [Path(folder)] if folder is not None else []


def sweeps(own: str | None = None) -> dict[str, str]:
    """Sweep name -> its question."""
    found = {}
    for parent in [sweeps_parent(), *_own(own)]:
        for path in sorted((parent / "sweeps").glob("*.yaml")):
            try:
                question = OmegaConf.select(OmegaConf.load(path), "claim.question")
            except YAMLError as error:
                raise UserError(not_yaml(error)) from error
            found[path.stem] = str(question or "").strip()
    return found


def variants(own: str | None = None) -> dict[str, str]:
    """Config group -> its options."""
    found: dict[str, list[str]] = {}
    for root in [config_root(), *_own(own)]:
        for path in sorted(root.rglob("*.yaml")):
            group = path.parent.relative_to(root).as_posix()
            if group not in (".", "sweeps", "tasks") and not group.startswith("hydra"):
                found.setdefault(group, []).append(path.stem)
    return {group: ", ".join(sorted(set(options))) for group, options in sorted(found.items())}
