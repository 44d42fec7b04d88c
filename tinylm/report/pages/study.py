"""Several sweeps whose results are kept, told in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from tinylm.report.claims.manifest import Manifest, read_manifest
from tinylm.report.figures.forest import differences
from tinylm.report.figures.style import of_arms, rendered
from tinylm.report.judgement.compare import compare
from tinylm.report.judgement.verdict_tables import estimate_table, verdict_table
from tinylm.report.judgement.wording import difference, interval, value
from tinylm.report.records.arms import by_arm
from tinylm.report.records.collect import collect
from tinylm.report.tables.training import training_table


class Study:
    """Sweeps in the order of a story; what has no results yet says so, and by which command it gets them.

    Example: ``study = Study(["moe_vs_dense", "random_routed"]); study.glance()``

    Args:
        sweeps: their names.
        results: the folder of `tinylm report --archive` for each; None: ``analysis/results`` of the project around.
    """

    def __init__(self, sweeps: Sequence[str], results: Path | None = None) -> None:
        self.sweeps = list(sweeps)
        here = Path.cwd()
        homes = [folder / "analysis" / "results" for folder in (here, *here.parents)]
        self.results = results or next((home for home in homes if home.is_dir()), homes[0])

    def runs(self, name: str) -> Path | None:
        """The root that keeps a sweep's runs; None where there is none."""
        root = self.results / name / "runs"
        return root if (root / "sweeps" / f"{name}.json").is_file() else None

    def placed(self, name: str) -> tuple[pd.DataFrame, Manifest, dict[str, str]] | None:
        """A sweep's runs by arm, its manifest, and each arm's colour; None where nothing is kept."""
        root = self.runs(name)
        if root is None:
            return None
        manifest = read_manifest(name, root)
        assert manifest.claim is not None, f"{name} claims nothing"
        ink = of_arms(manifest.claim)
        return by_arm(collect(root), manifest), manifest, ink

    def glance(self) -> pd.DataFrame:
        """Every claim of the study with what was found: columns sweep, claim, found, outcome."""
        rows: list[dict[str, str | None]] = []
        for name in self.sweeps:
            root = self.runs(name)
            if root is None:
                rows.append(
                    {"sweep": name, "claim": "–", "found": f"not run yet: `tinylm sweep {name}`", "outcome": "–"}
                )
                continue
            verdicts = compare(name, root)
            for item in verdicts.comparisons:
                if item.claim:
                    found = "–" if item.delta is None else f"{difference(item)}, n = {item.n}: {item.verdict}"
                    rows.append({"sweep": name, "claim": item.claim, "found": found, "outcome": item.outcome})
            for estimate in verdicts.estimates:
                found = "–" if estimate.value is None else f"{value(estimate)} ({interval(estimate)}), n = {estimate.n}"
                rows.append({"sweep": name, "claim": estimate.claim, "found": found, "outcome": estimate.verdict})
        return pd.DataFrame(rows)

    def tell(self, name: str) -> None:
        """Show what a sweep was trained on, its verdicts, estimates, warnings and the picture of its differences."""
        root, found = self.runs(name), self.placed(name)
        if root is None or found is None:
            print(f"{name}: no results are kept yet; `tinylm sweep {name}` makes them")
            return
        settings = training_table(found[0]).set_index("part")["settings"]
        print("\n".join(f"{part}: {settings[part]}" for part in ("data", "budget") if part in settings))
        verdicts = compare(name, root)
        _display(verdict_table(verdicts))
        if verdicts.estimates:
            _display(estimate_table(verdicts))
        for warning in verdicts.warnings:
            print(f"warning: {warning}")
        show(differences(verdicts))


def show(figure: Figure | None, width: int = 640) -> None:
    """Show a figure of the reports, where the runs had numbers for it, ``width`` pixels wide."""
    if figure is not None:
        from IPython.display import Image

        _display(Image(rendered(figure, "png"), width=width))


def _display(what: object) -> None:
    from IPython.display import display  # of the extra `notebook`: whoever calls this is in one

    display(what)
