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
# # Yardsticks: text whose answers, or whose entropy, are known
#
# A loss on real text says which of two models is better, and not how good either is. Here the scale has both ends: how
# many bits of facts a parameter holds (Allen-Zhu and Li 2024, arXiv:2404.05405), what a window of attention costs in
# recall, and how far beyond the trained length a model reads (Press et al. 2021, arXiv:2108.12409; Kazemnejad et al.
# 2023, arXiv:2305.19466). The results are those kept in `analysis/results`, at the scale that each table states. What
# has no results here yet says so, and by which command it gets them.

# %%
from IPython.display import display

from tinylm.report.figures.lengths import by_length
from tinylm.report.pages.study import Study, show
from tinylm.report.tables.costs import spent_table
from tinylm.report.tables.scores import seed_table

study = Study(["length_extrapolation", "recall_by_attention", "capacity"])

# %% [markdown]
# ## All claims of the study at a glance

# %%
study.glance()

# %% [markdown]
# ## 1. More text in view than was trained on
# Quality at the trained length first:

# %%
study.tell("length_extrapolation")

# %% [markdown]
# Then the same text with once, twice and four times the trained length in view. Learned positions end with the trained
# length.

# %%
if found := study.placed("length_extrapolation"):
    runs, _, ink = found
    show(by_length(runs, "extrapolation_bits", "bits per byte of the same text", "tokens in view", ink))

# %% [markdown]
# ## 2. Recall through a window

# %%
study.tell("recall_by_attention")

# %%
if found := study.placed("recall_by_attention"):
    runs, _, ink = found
    show(by_length(runs, "probe_accuracy_distance", "right answers", "words back", ink, chance="probe_chance"))

# %% [markdown]
# ## 3. How much a parameter holds

# %%
study.tell("capacity")

# %% [markdown]
# What each model stored, and what it cost:

# %%
if found := study.placed("capacity"):
    runs, manifest, _ = found
    display(seed_table(runs, manifest.claim))
    display(spent_table(runs))
