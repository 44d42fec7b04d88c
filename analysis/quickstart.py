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
# # A sweep, redrawn
#
# `tinylm sweep quickstart` leaves a folder of runs. `tinylm.arms` reads them as a table with a row a run,
# `tinylm.history` as a long table of learning curves; everything below is pandas and matplotlib on these two.
# Open it with `jupytext --to ipynb analysis/quickstart.py`, or in an editor that knows `# %%`.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt

import tinylm
from tinylm.report.claims.manifest import read_manifest

# %% [markdown]
# Which sweep: `TINYLM_SWEEP` of the folder `TINYLM_ROOT`, else the quickstart's own runs, else the first sweep whose
# results are kept beside this notebook. Or write your own two names here.

# %%
project = next(folder for folder in [Path.cwd(), *Path.cwd().parents] if (folder / "analysis").is_dir())
root = Path(os.environ.get("TINYLM_ROOT", project / "runs"))
name = os.environ.get("TINYLM_SWEEP", "quickstart")
if not (root / "sweeps" / f"{name}.json").is_file():
    kept = sorted(project.glob("analysis/results/*/runs/sweeps/*.json"))
    assert kept, f"no sweep {name!r} under {root}, and no kept results; `tinylm sweep quickstart` makes some"
    root, name = kept[0].parents[1], kept[0].stem
print(f"{name} of {root}")

# %% [markdown]
# ## Every run

# %%
claim = read_manifest(name, root).claim
runs = tinylm.arms(name, root).query("stage == 'compare'")
runs[["label", "seed", "status", claim.metric, "accounting.parameters.total", "cost.tokens", "cost.seconds"]]

# %% [markdown]
# ## Learning curves: the mean of an arm's seeds, and how far they lie apart

# %%
curves = tinylm.history(root, keys=set(runs["key"])).merge(runs[["key", "label", "seed"]], on="key")
scored = curves[curves["name"] == "tune_bits_per_byte"]
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for label, own in scored.groupby("label", sort=False):
    seeds = own.pivot_table(index="tokens", columns="seed", values="value")
    (line,) = axes.plot(seeds.index, seeds.mean(axis=1), label=label)
    axes.fill_between(
        seeds.index, seeds.min(axis=1), seeds.max(axis=1), color=line.get_color(), alpha=0.25, linewidth=0
    )
axes.set(xlabel="tokens read", ylabel="bits per byte, tune split", title="shaded: from the best seed to the worst")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Paired differences: runs of one seed read the same text in the same order, so each pair is one measurement

# %%
scores = runs.pivot_table(index="seed", columns="arm", values=claim.metric)
differences = scores[list(claim.comparisons)] - scores[list(claim.comparisons.values())].to_numpy()
differences.agg(["mean", "std", "count"])

# %% [markdown]
# What may be concluded is not read off a picture: `tinylm.compare` demands the declared pairs, corrects for several
# comparisons, and refuses where the arms are not equal.

# %%
verdicts = tinylm.compare(name, root)
figure, axes = plt.subplots(figsize=(6, 0.9 + 0.5 * len(verdicts.comparisons)), layout="constrained")
axes.axvspan(-verdicts.smallest_effect, verdicts.smallest_effect, color="0.92")
axes.axvline(0, color="0.5", linewidth=0.8)
for row, item in enumerate(verdicts.comparisons):
    axes.plot(list(item.differences.values()), [row] * len(item.differences), "o", alpha=0.5, color=f"C{row}")
    if item.ci_low is not None:
        axes.plot([item.ci_low, item.ci_high], [row + 0.2] * 2, color=f"C{row}", linewidth=2.5)
named = [f"{item.variant_label} − {item.against_label}:\n{item.verdict}" for item in verdicts.comparisons]
axes.set_yticks(range(len(named)), named)
axes.set(
    ylim=(len(named) - 0.4, -0.6), xlabel=f"difference in {claim.metric.replace('_', ' ')}; shaded: too small to matter"
)
plt.show()

# %%
for item in verdicts.comparisons:
    print(f"{item.variant_label} − {item.against_label}: {item.verdict}; {item.reason}")
