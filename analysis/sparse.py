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
# # Sparse against dense, at a scale that a laptop reaches
#
# Does sparsity help a tiny language model, and at equal what? GLaM (Du et al. 2021, arXiv:2112.06905) answers for
# models from 0.1 B on at equal FLOPs a token; PanGu-Σ (Ren et al. 2023, arXiv:2303.10845) routes by a table drawn once;
# sparse upcycling (Komatsuzaki et al. 2022, arXiv:2212.05055) begins from a dense model. This notebook tells what
# became of their claims at 1 M active parameters and about 6 M tokens of a mixture of four domains, from the results
# kept in `analysis/results`. These models are far from trained out: a verdict holds at this scale, and says nothing of
# 0.1 B.

# %%
from IPython.display import display

from tinylm.report.figures.experts import specialisation
from tinylm.report.figures.layers import by_layer
from tinylm.report.pages.study import Study, show
from tinylm.report.tables.costs import charged_table, spent_table

study = Study(["moe_vs_dense", "random_routed", "upcycle_vs_scratch"])

# %% [markdown]
# ## All claims of the study at a glance

# %%
study.glance()

# %% [markdown]
# ## 1. Equal what?
# The same experts, at equal active FLOPs, at equal parameters, at equal seconds: three questions, three answers.

# %%
study.tell("moe_vs_dense")

# %% [markdown]
# What each arm is and cost:

# %%
if found := study.placed("moe_vs_dense"):
    display(spent_table(found[0]))

# %% [markdown]
# How evenly the experts were used over the last tenth of training, and which domain's text each of them got. Rows that
# are alike say that the router does not tell the domains apart.

# %%
if found := study.placed("moe_vs_dense"):
    runs, _, ink = found
    show(by_layer(runs, "load_entropy", "entropy of the experts' load (1: even)", ink))
    show(specialisation(runs))

# %% [markdown]
# ## 2. A table drawn once, against a router that learns

# %%
study.tell("random_routed")

# %% [markdown]
# With experts of each domain's own the specialisation is given, not learned:

# %%
if found := study.placed("random_routed"):
    show(specialisation(found[0]))

# %% [markdown]
# ## 3. From a dense model on

# %%
study.tell("upcycle_vs_scratch")

# %% [markdown]
# The same with what the parents cost charged:

# %%
if found := study.placed("upcycle_vs_scratch"):
    runs, manifest, _ = found
    display(charged_table(runs, manifest.claim))
