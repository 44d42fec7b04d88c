"""Which experts the text of each domain goes to."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from tinylm.report.figures.style import style
from tinylm.report.records.arms import once
from tinylm.report.records.items import items

LIGHT = 0.55  # of the scale: above it, text on a cell is white


def specialisation(runs: pd.DataFrame) -> Figure | None:
    """Share of a domain's tokens that go to each expert: a panel an arm (across) and a sparse layer (down).

    Experts of two seeds have nothing to do with one another, so an arm shows its first run alone. None where no run
    has such a table, or the text has one domain only.

    Args:
        runs: of `tinylm.report.records.arms.by_arm`.
    """
    compared = once(runs) if "root" in runs else runs.head(0)
    found = items(compared, "routing") if len(compared) else pd.DataFrame()
    if not {"domain", "layer", "expert", "share"} <= set(found):
        return None
    found = found.dropna(subset=["domain"])
    shown = compared[compared["key"].isin(found["key"])].drop_duplicates("arm")
    if shown.empty or found["domain"].nunique() < 2:
        return None
    tables = {
        key: {int(layer): part.pivot(index="domain", columns="expert", values="share") for layer, part in own}
        for key in shown["key"]
        for own in [found[found["key"] == key].groupby("layer")]
    }
    down = max(map(len, tables.values()))
    rows = max(len(table) for layers in tables.values() for table in layers.values())
    with style():
        figure = Figure(figsize=(1.2 + 2.9 * len(shown), 0.5 + down * (0.6 + 0.3 * rows)), layout="constrained")
        panels = figure.subplots(down, len(shown), squeeze=False)
        for across, (key, label) in enumerate(shown[["key", "label"]].itertuples(index=False)):
            for place in range(down):
                axes = panels[place][across]
                if place >= len(tables[key]):
                    axes.set_axis_off()
                    continue
                layer, table = sorted(tables[key].items())[place]
                axes.imshow(table.to_numpy(float), cmap="Blues", vmin=0, vmax=1, aspect="auto")
                for row, shares in enumerate(table.to_numpy(float)):
                    for column, share in enumerate(shares):
                        ink = "white" if share > LIGHT else "black"
                        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=ink, fontsize=7)
                axes.set_xticks(range(table.shape[1]), [str(int(expert)) for expert in table.columns])
                axes.set_yticks(range(len(table)), list(table.index) if across == 0 else [""] * len(table))
                axes.tick_params(length=0)
                axes.spines[:].set_visible(False)
                axes.set_title(f"{label}, layer {layer}" if place == 0 else f"layer {layer}")
            panels[-1][across].set_xlabel("expert")
    return figure
