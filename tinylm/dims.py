"""The dimension legend: every tensor's name ends in the letters of its axes.

========  =====================================================
letter    axis
========  =====================================================
B         batch: sequences in one forward
T         time: positions of a sequence, in tokens
S         places that attention looks at: T, and before them those that a cache holds
D         width of the residual stream
H         query heads
G         key/value heads (groups); H is a multiple of G
K         head dimension
F         hidden size of a feed-forward layer
V         vocabulary
E         experts
L         layers
N, M      items of a list whose kind the docstring names
========  =====================================================

Example: ``q_BHTK`` holds, for each sequence and head, one query of K numbers a position.
"""
