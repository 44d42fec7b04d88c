"""A smaller model cut out of a larger one: which indices stay along each axis, and the weights they leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tinylm.init.importance.scores import Pool, highest
from tinylm.init.initialiser import Parent
from tinylm.model.lm import LanguageModel
from tinylm.model.shape import Shape

COUNTED = {"D": "width", "F": "hidden", "H": "heads", "G": "kv_heads"}


@dataclass(frozen=True)
class Cut:
    """What of a parent a child keeps.

    Fields:
        layers: child's layer -> parent's layer; a layer of the child that is not in it has no parent.
        kept: (child's layer, or None where all layers share it; letter of an axis) -> indices along the parent's axis,
            ascending but for the vocabulary, which follows the child's ids. What is not in it stays whole.
    """

    layers: Mapping[int, int]
    kept: Mapping[Pool, Tensor] = field(default_factory=dict)

    def source(self, name: str, parent: LanguageModel) -> str | None:
        """The parent's parameter that a child's is cut from; None: it has none. A tied parent's head is its table."""
        words = name.split(".")
        if words[0] == "blocks":
            layer = self.layers.get(int(words[1]))
            name = ".".join(["blocks", str(layer), *words[2:]])
        if name == "unembedding.weight" and parent.unembedding is None:
            name = "embedding.weight"
        return name if name in dict(parent.named_parameters()) else None

    def taken(self, name: str, letters: str) -> list[tuple[int, Pool]]:
        """(axis, entry of ``kept``) for every axis of a child's parameter along which something is left out."""
        layer = int(name.split(".")[1]) if name.startswith("blocks.") else None
        entries = [(axis, (layer if letter in "FHG" else None, letter)) for axis, letter in enumerate(letters)]
        return [(axis, entry) for axis, entry in entries if entry in self.kept]

    def apply(self, source: str, name: str, letters: str, parent: LanguageModel) -> Tensor:
        """The numbers that the child's parameter ``name`` takes over from the parent's ``source``."""
        tensor = parent.get_parameter(source).detach()
        for axis, (layer, letter) in self.taken(name, letters):
            index_N = self.kept[layer, letter]
            if letter in "HG":  # a head is K numbers, one after the other
                K = parent.shape.head_dim
                index_N = (index_N[:, None] * K + torch.arange(K)).flatten()
            tensor = tensor.index_select(axis, index_N)
        return tensor

    def sizes(self, source: str, name: str, letters: str, parent: LanguageModel) -> list[int]:
        """The shape of what ``apply`` gives."""
        sizes = list(parent.get_parameter(source).shape)
        for axis, pool in self.taken(name, letters):
            sizes[axis] = len(self.kept[pool]) * (parent.shape.head_dim if pool[1] in "HG" else 1)
        return sizes

    def told(self) -> dict[str, str]:
        """The indices for people and JSON, by the names that ``called`` gives: ``{"channels": "0-5,7"}``."""
        return {called(pool): spans(index_N.tolist()) for pool, index_N in self.kept.items()}


def called(pool: Pool) -> str:
    """A name for a pool: ``channels``, ``blocks.3.hidden``."""
    layer, letter = pool
    name = {"D": "channels", "F": "hidden", "H": "heads", "G": "key_groups", "V": "ids", "T": "places"}[letter]
    return name if layer is None else f"blocks.{layer}.{name}"


def spans(indices: Sequence[int]) -> str:
    """Indices in short: ``[0, 1, 2, 5]`` is ``0-2,5``."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], index]
        else:
            runs.append([index])
    return ",".join("-".join(map(str, run)) for run in runs)


def budgets(child: Shape, parent: Shape, layers: int) -> dict[Pool, int]:
    """How many stay of everything that has to go in part, for the first ``layers`` layers.

    Heads are chosen in two steps: key groups with all their heads, then as many heads in each group as the child has
    a group. Where all heads of a group stay only groups compete.
    """
    found: dict[Pool, int] = {}
    if child.width < parent.width:
        found[None, "D"] = child.width
    per_group = child.heads // child.kv_heads
    for layer in range(layers):
        if child.hidden < parent.hidden:
            found[layer, "F"] = child.hidden
        if child.kv_heads < parent.kv_heads:
            found[layer, "G"] = child.kv_heads
        if per_group < parent.heads // parent.kv_heads:
            found[layer, "H"] = per_group * parent.kv_heads
    return found


def choose(scores: Mapping[Pool, Tensor], child: Shape, parent: Shape) -> dict[Pool, Tensor]:
    """The indices with the highest scores; heads within the key groups that stay."""
    kept: dict[Pool, Tensor] = {}
    for pool, score_N in scores.items():
        if pool[1] in "DFG":
            kept[pool] = highest(score_N, getattr(child, COUNTED[pool[1]]))
    per_group, had = child.heads // child.kv_heads, parent.heads // parent.kv_heads
    for layer in sorted({layer for layer, letter in scores if letter in "GH" and layer is not None}):
        group_G = kept.get((layer, "G"), torch.arange(parent.kv_heads))
        score_GN = scores.get((layer, "H"), torch.zeros(parent.heads)).view(-1, had)
        heads = [group * had + highest(score_GN[group], per_group) for group in group_G.tolist()]
        kept[layer, "H"] = torch.cat(heads)
    return kept


def placed(kept: Mapping[Pool, Tensor], layers: Sequence[int]) -> dict[Pool, Tensor]:
    """What stays of the layers that stay, by the child's layers instead of their number among those."""
    return {(None if n is None else layers[n], letter): index_N for (n, letter), index_N in kept.items()}


def any_cut(child: Shape, parent: Shape, layers: Mapping[int, int]) -> Cut:
    """A cut of the right sizes before anything is ranked: the first of everything stay, of the token table all."""
    wanted = budgets(child, parent, len(layers))
    scores = {pool: torch.zeros(getattr(parent, COUNTED[pool[1]])) for pool in wanted}
    return Cut(layers, {**placed(choose(scores, child, parent), list(layers)), **places(child, parent)})


def rescaled(child: LanguageModel, parent: Shape) -> dict[str, float]:
    """Parameter name -> factor that makes leaving out channels that are zero no change at all, under RMS norms.

    Dropping channels from D to D' raises the mean square of the kept ones by D / D'. To make up for it by gains times
    sqrt(D / D') and epsilon times D / D' is the same function as gains times sqrt(D / D') and all that is added to
    the residual stream times sqrt(D' / D), where everybody reads the stream through a norm: then the mean square is
    what it was. Epsilon is an option of the child's
    config, no weight, so we take the second form: it is exact for every epsilon and survives saving. A tied head
    reads a table that became smaller: the last norm's gains make up for that too.
    """
    down = (child.shape.width / parent.width) ** 0.5
    factors: dict[str, float] = {}
    axes, roles, outputs = child.axes(), child.roles(), set(child.outputs())
    for name, letters in axes.items():
        if roles[name] == "norm":
            factors[name] = 1 / down
        elif name in outputs or roles[name] == "embedding" or letters == "D":
            factors[name] = down
    if child.shape.tied:
        factors.update({name: 1 / down**2 for name in factors if name.startswith("norm.")})
    return factors


def tables(child: LanguageModel, parent: Parent) -> dict[Pool, Tensor]:
    """The rows that stay of the token table and of a table of places."""
    rows: dict[Pool, Tensor] = {} if parent.ids_V is None else {(None, "V"): parent.ids_V}
    return {**rows, **places(child.shape, parent.model.shape)}


def places(child: Shape, parent: Shape) -> dict[Pool, Tensor]:
    """The rows that stay of a table of places: the first."""
    return {(None, "T"): torch.arange(child.context)} if child.context < parent.context else {}
