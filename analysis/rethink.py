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
from IPython.display import display

from tinylm.report.figures.layers import by_layer
from tinylm.report.study import Study, show
from tinylm.report.tables import seed_table

study = Study(
    ["tokenizer_pruning", "depth_width", "pangu_pi", "inherit_layers", "inherit_neurons", "multi_round", "ladder"]
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
# Then PanGu-π's own parts (Wang et al. 2023, arXiv:2312.17276): series activation and augmented shortcuts.

# %%
study.tell("pangu_pi")

# %% [markdown]
# What they are meant to prevent is the collapse of features: how many principal components hold 80% of their variance?

# %%
if found := study.placed("pangu_pi"):
    runs, _, ink = found
    show(by_layer(runs, "effective_dimension", "effective dimension of features", ink))

# %% [markdown]
# ## 3. Parameters of a larger model
# First which layers, then which neurons.

# %%
study.tell("inherit_layers")

# %%
study.tell("inherit_neurons")

# %% [markdown]
# ## 4. A second round

# %%
study.tell("multi_round")

# %% [markdown]
# ## 5. The ladder: one on top of the other

# %%
study.tell("ladder")
