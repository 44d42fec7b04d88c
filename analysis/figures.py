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
# # The report's main figures, each in a few lines
#
# For readers who want their own cut. `tinylm.collect` gives a row a run, `tinylm.history` a row a logged number; arms
# and stages come from the sweep's plan. Everything else is pandas and matplotlib, so change what you like.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import tinylm
from tinylm.report.claims.manifest import read_manifest
from tinylm.report.figures.style import colours, label_right
from tinylm.report.judgement.trends import trend_table
from tinylm.report.records.arms import by_arm

project = next(folder for folder in [Path.cwd(), *Path.cwd().parents] if (folder / "analysis").is_dir())
root, name = project / "analysis" / "results" / "depth_width" / "runs", "depth_width"  # or your own
manifest = read_manifest(name, root)
claim = manifest.claim
runs = by_arm(tinylm.collect(root), manifest)
compared = runs.query("stage == 'compare' and status == 'done'")
labels = compared.drop_duplicates("arm").set_index("arm")["label"]
ink = colours(list(labels.index), claim.baseline)  # colour-blind safe; the baseline is black

# %% [markdown]
# ## A forest of paired differences
# Runs of one seed read the same text in the same order: a pair is one measurement. The intervals are the engine's,
# since they hold for the whole family of comparisons.

# %%
scores = compared.pivot(index="seed", columns="arm", values=claim.metric)
paired = scores.drop(columns=claim.baseline).sub(scores[claim.baseline], axis=0)[list(claim.comparisons)]
verdicts = {item.variant: item for item in tinylm.compare(name, root).comparisons}

figure, axes = plt.subplots(figsize=(6.5, 0.8 + 0.5 * len(verdicts)), layout="constrained")
axes.axvspan(-claim.delta, claim.delta, color="0.92")
axes.axvline(0, color="0.5", linewidth=0.8)
for row, (arm, item) in enumerate(verdicts.items()):
    axes.plot(paired[arm], np.full(len(paired), row + 0.15), "o", color=ink[arm], alpha=0.5)
    axes.plot([item.ci_low, item.ci_high], [row, row], color=ink[arm], linewidth=2.5)
    axes.annotate(f"  {item.verdict}", (item.ci_high, row), color=ink[arm], va="center")
axes.set_yticks(range(len(verdicts)), [f"{labels[arm]} − {labels[claim.baseline]}" for arm in verdicts])
axes.set(xlabel="difference in bits per byte; negative is better, shaded is too small to matter")
axes.margins(x=0.2, y=0.2)
plt.show()

# %% [markdown]
# ## Learning curves

# %%
curves = tinylm.history(root, keys=set(compared["key"])).merge(compared[["key", "arm"]], on="key")
late = curves.query("name == 'loss' and tokens > 1e6")
loss = late.groupby(["arm", "step"])[["tokens", "value"]].mean()

figure, axes = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
ends = []
for arm in labels.index:
    own = loss.loc[arm].rolling(5, center=True, min_periods=1).mean()
    axes.plot(own["tokens"] / 1e6, own["value"], color=ink[arm])
    ends.append(own["value"].iloc[-1])
axes.set(xlabel="tokens read (millions)", ylabel="training loss (nats a token)", xlim=(1, 6))
label_right(axes, ends, list(labels), [ink[arm] for arm in labels.index])
plt.show()

# %% [markdown]
# ## Sensitivity to the learning rate, on the seeds that tuned it

# %%
tuned = runs.query("stage == 'tune'").dropna(subset=["tune_bits_per_byte"])

figure, axes = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
means = tuned.pivot_table(index="optim.lr", columns="arm", values="tune_bits_per_byte")[labels.index]
for arm in means:
    axes.plot(means.index, means[arm], "o-", color=ink[arm])
axes.set(xlabel="peak learning rate", ylabel="bits per byte, tune split", xscale="log")
axes.set_xticks(list(means.index), [f"{rate:g}" for rate in means.index])
axes.minorticks_off()
label_right(axes, means.iloc[-1], list(labels), [ink[arm] for arm in means])
plt.show()

# %% [markdown]
# ## Quality against what it cost

# %%
figure, axes = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
for arm, own in compared.groupby("arm", sort=False):
    axes.plot(own["cost.seconds"] / 60, own[claim.metric], "o", color=ink[arm], alpha=0.4)
    axes.plot(own["cost.seconds"].mean() / 60, own[claim.metric].mean(), "D", color=ink[arm])
heights = compared.groupby("arm", sort=False)[claim.metric].mean()
label_right(axes, heights, list(labels[heights.index]), [ink[arm] for arm in heights.index])
axes.set(xlabel="minutes of training a run", ylabel="bits per byte on test text")
plt.show()

# %% [markdown]
# ## What it took in all, tuning included

# %%
spent = runs.drop_duplicates("key").groupby("stage")
spent.agg(
    runs=("key", "count"), hours=("cost.seconds", lambda seconds: seconds.sum() / 3600), flops=("cost.flops", "sum")
)

# %% [markdown]
# ## Over sizes: does a gain hold as the model grows?
# Another claim, made at three sizes. A dot is a seed's gain over the baseline of the same size (positive is better);
# beside an arm's name stands the change of its gain with each doubling of the parameters, as the engine fits it. What
# it concludes, and how much more compute the baseline would need, is in the table.

# %%
root, name = project / "analysis" / "results" / "ffn_by_size" / "runs", "ffn_by_size"
manifest = read_manifest(name, root)
claim = manifest.claim
runs = by_arm(tinylm.collect(root), manifest).query("stage == 'compare' and status == 'done'")
runs = runs.assign(effect=runs["arm"].map(claim.across), size=[claim.arms[arm].size for arm in runs["arm"]])
verdicts = tinylm.compare(name, root)
trends = {item.variant: item for item in verdicts.trends}
labels = {item.variant: item.variant_label for item in trends.values()} | {"gelu": "GELU"}
ink = colours(list(labels), "gelu")
losses = runs.pivot(index=["size", "seed"], columns="effect", values=claim.metric)
parameters = runs.groupby("size")["accounting.parameters.total"].mean().sort_values()

figure, axes = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
axes.axhspan(-claim.delta, claim.delta, color="0.92")
gains = {effect: losses["gelu"] - losses[effect] for effect in trends}
for effect, gain in gains.items():
    axes.plot(gain.index.get_level_values("size").map(parameters), gain, "o", color=ink[effect], alpha=0.4)
    axes.plot(parameters, gain.groupby("size").mean()[parameters.index], "-", color=ink[effect])
axes.set(xscale="log", xlabel="parameters", ylabel="gain in bits per byte")
axes.set_xticks(parameters, parameters.index)
axes.minorticks_off()
ends = [gain[parameters.index[-1]].mean() for gain in gains.values()]
told = [f"{labels[effect]} {item.change:+.3f}" for effect, item in trends.items()]
label_right(axes, ends, told, [ink[effect] for effect in gains])
plt.show()
trend_table(verdicts, {item.variant: item for item in verdicts.comparisons})

# %% [markdown]
# ## Loss against compute: a power law for every arm
# The models grow and their text does not, so the losses bend: the middle size lies below every line.

# %%
flops = runs.pivot(index=["size", "seed"], columns="effect", values="cost.flops")

figure, axes = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
ends, told = [], []
for effect in labels:
    exponent, height = np.polyfit(np.log(flops[effect]), np.log(losses[effect]), 1)
    compute = np.geomspace(flops[effect].min(), flops[effect].max())
    axes.plot(flops[effect], losses[effect], "o", color=ink[effect], alpha=0.4)
    axes.plot(compute, np.exp(height) * compute**exponent, "-", color=ink[effect])
    ends.append(np.exp(height) * compute[-1] ** exponent)
    told.append(f"{labels[effect]}, exponent {exponent:.3f}")
axes.set(xscale="log", yscale="log", xlabel="training FLOPs", ylabel="bits per byte on test text")
means = flops["gelu"].groupby("size").mean()
axes.set_xticks(means, [f"{mean / 1e12:.0f} T" for mean in means])
axes.set_yticks([1.7, 1.75, 1.8, 1.85], ["1.70", "1.75", "1.80", "1.85"])
axes.minorticks_off()
label_right(axes, ends, told, [ink[effect] for effect in labels])
plt.show()
