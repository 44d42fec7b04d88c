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
# Tang et al. 2024 (PanGu-π Pro, arXiv:2402.02791) lift a model of 1 B parameters by 8.87 points, the mean of ten
# benchmarks, with four changes: a compact tokenizer (+1.70), a tweaked architecture (+2.42), parameters inherited
# from a larger model (+3.26), and a second round on text drawn by its losses (+1.49). This notebook tells what became
# of each at 1 M parameters and about 6 M tokens (tokenizers at 3 M and 14 MB of text, which are 3.4 to 7.7 M tokens),
# from the results kept in `analysis/results`, in the paper's order. These models are far from trained out: a verdict
# holds at this scale, and says nothing of 1 B.
#
# Above the verdicts of each sweep stands the text that it read. `depth_width`, `depth_latency` (8,192 tokens, for its
# models are timed, not scored) and `multi_round`, the oldest, read WikiText-2 alone and are scored on its own
# validation articles; the others read eight books beside it and are scored on passages of both. So scores compare
# within a sweep, and never from one to another. What has no results here yet says so, and by which command it gets
# them.

# %%
from IPython.display import display

from tinylm.report.figures.curves import learning_curves
from tinylm.report.figures.forgetting import forgetting
from tinylm.report.figures.layers import by_layer
from tinylm.report.figures.pareto import pareto
from tinylm.report.judgement.compare import compare
from tinylm.report.pages.study import Study, show
from tinylm.report.records.history import history
from tinylm.report.tables.costs import charged_table
from tinylm.report.tables.ladder import ladder_table
from tinylm.report.tables.rounds import rounds_table
from tinylm.report.tables.scores import seed_table

study = Study(
    [
        "tokenizer_pruning",
        "depth_width",
        "depth_latency",
        "pangu_pi",
        "series_terms",
        "random_shapes",
        "ffn_ratio",
        "heads",
        "embedding_tying",
        "init_std",
        "norm_placement",
        "inherit_layers",
        "inherit_neurons",
        "multi_round",
        "round_options",
        "batch_lr",
        "ladder",
    ]
)

# %% [markdown]
# ## All claims of the study at a glance

# %%
study.glance()

# %% [markdown]
# ## 1. A compact tokenizer
# A smaller vocabulary frees parameters for the body.

# %%
study.tell("tokenizer_pruning")
if found := study.placed("tokenizer_pruning"):
    runs, _, ink = found
    show(learning_curves(history(study.runs("tokenizer_pruning")), runs, ink))

# %% [markdown]
# ## 2. The architecture
# Depth first: at a fixed number of parameters, is deeper better?

# %%
study.tell("depth_width")

# %% [markdown]
# Every seed, with the learning rate that tuning chose for its shape:

# %%
if found := study.placed("depth_width"):
    runs, manifest, _ = found
    display(seed_table(runs, manifest.claim))

# %% [markdown]
# Deeper is also slower where a model is used. What the same shapes take to decode, and that beside their quality (time
# does not depend on what the weights have learned, so it was measured on models that were hardly trained):

# %%
study.tell("depth_latency")
if (shapes := study.placed("depth_width")) and (decoded := study.placed("depth_latency")):
    costs = decoded[0].set_index(["arm", "seed"])[["decode_ms_per_token", "decode_peak_mib"]]
    show(pareto(shapes[0].join(costs, on=["arm", "seed"]), "bits_per_byte", "lower", shapes[2]))

# %% [markdown]
# Then PanGu-π's own parts (Wang et al. 2023, arXiv:2312.17276): series activation and augmented shortcuts.

# %%
study.tell("pangu_pi")

# %% [markdown]
# The series against the plain activation, by the number of its terms:

# %%
study.tell("series_terms")

# %% [markdown]
# What they are meant to prevent is the collapse of features: how many principal components hold 80% of their variance?

# %%
if found := study.placed("pangu_pi"):
    runs, _, ink = found
    show(by_layer(runs, "effective_dimension", "effective dimension of features", ink))

# %% [markdown]
# The paper looks for its shape among many drawn at random, in which depth goes with quality (a rank correlation of
# 0.528, reported second-hand) and the expansion hardly does; then come heads, tying and the expansion one by one:

# %%
for name in ("random_shapes", "ffn_ratio", "heads", "embedding_tying"):
    study.tell(name)

# %% [markdown]
# How parameters begin, and where the norms stand:

# %%
for name in ("init_std", "norm_placement"):
    study.tell(name)

# %% [markdown]
# ## 3. Parameters of a larger model
# First which layers, then which neurons.

# %%
study.tell("inherit_layers")

# %% [markdown]
# The estimate takes the mean of the first and the last layer, and a first layer that is missed much confirms it alone:
# what is known of each, the figure shows. What the parents lose where one of their layers is skipped (the paper: most
# at the first and the last), how the children learn, and what all this costs once the parent is charged:

# %%
if found := study.placed("inherit_layers"):
    runs, manifest, ink = found
    show(by_layer(runs, "skip", "loss of skipping a layer (bits per byte)", ink))
    show(learning_curves(history(study.runs("inherit_layers")), runs, ink))
    display(charged_table(runs, manifest.claim))

# %%
study.tell("inherit_neurons")

# %%
if found := study.placed("inherit_neurons"):
    runs, manifest, ink = found
    show(learning_curves(history(study.runs("inherit_neurons")), runs, ink))
    display(charged_table(runs, manifest.claim))

# %% [markdown]
# ## 4. A second round

# %%
study.tell("multi_round")

# %% [markdown]
# How far what was drawn differs from a draw at random, and what a model forgets of what it read first:

# %%
if found := study.placed("multi_round"):
    runs, _, ink = found
    display(rounds_table(runs))
    show(forgetting(runs, ink))

# %% [markdown]
# More rounds, other rates, temperatures and units:

# %%
study.tell("round_options")

# %% [markdown]
# And what a batch size asks of the learning rate, for which the paper recommends lr ∝ (batch size)^0.5:

# %%
study.tell("batch_lr")

# %% [markdown]
# ## 5. The ladder: one on top of the other

# %%
study.tell("ladder")

# %% [markdown]
# Each rung as a share of the whole, beside the paper's at 1 B, and what each costs with the parent and scoring charged:

# %%
if found := study.placed("ladder"):
    runs, manifest, ink = found
    root = study.runs("ladder")
    print(f"Gains in bits per byte, positive is better; reported gains: {manifest.claim.reported_unit}.")
    display(ladder_table(compare("ladder", root), manifest, runs))
    show(learning_curves(history(root), runs, ink))
    display(charged_table(runs, manifest.claim))
