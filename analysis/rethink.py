# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rethinking tiny language models, at a scale that a laptop reaches
#
# Tang et al. 2024 (PanGu-π Pro, arXiv:2402.02791) lift a model of 1 B parameters by four changes: a compact tokenizer,
# a tweaked architecture, parameters inherited from a larger model, and a second round on text drawn by its losses.
# This notebook tells what became of each at 1 M parameters (tokenizers at 3 M) and about 6 M tokens, from the results
# kept in `analysis/results`, in the paper's order. These models are far from trained out: a verdict holds at this
# scale, and says nothing of 1 B. What has no results here yet says so, and by which command it gets them.

# %%
from pathlib import Path

import pandas as pd
from IPython.display import Image, display
from matplotlib.figure import Figure

import tinylm
from tinylm.report.arms import by_arm
from tinylm.report.figures.forest import differences
from tinylm.report.figures.layers import by_layer
from tinylm.report.figures.style import colours, rendered
from tinylm.report.manifest import read_manifest
from tinylm.report.tables import estimate_table, seed_table, verdict_table

project = next(folder for folder in [Path.cwd(), *Path.cwd().parents] if (folder / "analysis").is_dir())


def kept(name: str) -> Path | None:
    """The runs of a sweep that are kept beside this notebook."""
    runs = project / "analysis" / "results" / name / "runs"
    return runs if (runs / "sweeps" / f"{name}.json").is_file() else None


def show(figure: Figure | None) -> None:
    """A figure of the reports, where the runs have numbers for it."""
    if figure is not None:
        display(Image(rendered(figure, "png"), width=640))


def tell(name: str) -> None:
    """A sweep's verdicts, its estimates and the picture of its differences."""
    runs = kept(name)
    if runs is None:
        print(f"{name}: no results are kept yet; `tinylm sweep {name}` makes them")
        return
    verdicts = tinylm.compare(name, runs)
    display(verdict_table(verdicts))
    if verdicts.estimates:
        display(estimate_table(verdicts))
    show(differences(verdicts))


# %% [markdown]
# ## All claims of the study at a glance

# %%
STUDY = ["tokenizer_pruning", "depth_width", "pangu_pi", "inherit_layers", "inherit_neurons", "multi_round", "ladder"]
rows = []
for name in STUDY:
    runs = kept(name)
    if runs is None:
        rows.append({"sweep": name, "claim": "–", "found": "not run yet", "outcome": "–"})
        continue
    verdicts = tinylm.compare(name, runs)
    for item in verdicts.comparisons:
        if item.claim:
            found = "–" if item.delta is None else f"{item.delta:+.3f}, n = {item.n}: {item.verdict}"
            rows.append({"sweep": name, "claim": item.claim, "found": found, "outcome": item.outcome})
    for item in verdicts.estimates:
        found = "–" if item.value is None else f"{item.value:+.3g}, n = {item.n}"
        rows.append({"sweep": name, "claim": item.claim, "found": found, "outcome": item.verdict})
pd.DataFrame(rows)

# %% [markdown]
# ## 1. A compact tokenizer
# A smaller vocabulary frees parameters for the body.

# %%
tell("tokenizer_pruning")

# %% [markdown]
# ## 2. The architecture
# Depth first: at a fixed number of parameters, is deeper better?

# %%
tell("depth_width")

# %% [markdown]
# Every seed, with the learning rate that tuning chose for its shape:

# %%
runs = kept("depth_width")
if runs is not None:
    manifest = read_manifest("depth_width", runs)
    display(seed_table(by_arm(tinylm.collect(runs), manifest), manifest.claim))

# %% [markdown]
# Then PanGu-π's own parts (Wang et al. 2023, arXiv:2312.17276): series activation and augmented shortcuts.

# %%
tell("pangu_pi")

# %% [markdown]
# What they are meant to prevent is the collapse of features: how many principal components hold 80% of their variance?

# %%
runs = kept("pangu_pi")
if runs is not None:
    manifest = read_manifest("pangu_pi", runs)
    ink = colours(list(manifest.claim.arms), manifest.claim.baseline)
    placed = by_arm(tinylm.collect(runs), manifest)
    show(by_layer(placed, "effective_dimension", "effective dimension of features", ink))

# %% [markdown]
# ## 3. Parameters of a larger model
# First which layers, then which neurons.

# %%
tell("inherit_layers")

# %%
tell("inherit_neurons")

# %% [markdown]
# ## 4. A second round

# %%
tell("multi_round")

# %% [markdown]
# ## 5. The ladder: one on top of the other

# %%
tell("ladder")
