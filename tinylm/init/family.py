"""Whether a child can be cut out of a parent: sizes, parts and their options; each refusal is one line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tinylm.errors import UserError
from tinylm.init.cut import COUNTED, Cut
from tinylm.init.importance.scores import Pool
from tinylm.init.initialiser import Parent
from tinylm.model.lm import LanguageModel
from tinylm.model.shape import Shape
from tinylm.model.slots import Norm, Placement, Slot


def refuse_small(child: Shape, parent: Shape, name: str, rest: bool = False) -> None:
    """Refuse a parent out of which no such child can be cut.

    Args:
        name: the parent's, for the message.
        rest: layers that the parent lacks may be drawn.

    Raises:
        UserError: the parent is too small for the child, or its heads are of another size.
    """
    smaller = [size for size in ("depth", *COUNTED.values()) if getattr(parent, size) < getattr(child, size)]
    if rest and "depth" in smaller:
        smaller.remove("depth")
    if smaller:
        said = ", ".join(f"{size} {getattr(parent, size)} < {getattr(child, size)}" for size in smaller)
        way = "; init.rest=scratch draws the layers that it lacks" if smaller == ["depth"] else ""
        raise UserError(f"the parent {name} is too small for its child ({said}): take a larger parent{way}")
    if parent.head_dim != child.head_dim:
        raise UserError(
            f"heads of the parent {name} have {parent.head_dim} numbers and the child's {child.head_dim}: "
            f"set shape.head_dim={parent.head_dim}, heads are kept whole"
        )
    if parent.heads // parent.kv_heads < child.heads // child.kv_heads:
        raise UserError(
            f"a key group of the parent {name} serves {parent.heads // parent.kv_heads} heads and the child's "
            f"{child.heads // child.kv_heads}: give the child more key groups (shape.kv_heads)"
        )


def refuse_tables(child: LanguageModel, parent: Parent) -> None:
    """Refuse a parent whose token table has no row for what the child reads.

    Raises:
        UserError: another vocabulary without a map, or a map that does not fit.
    """
    vocab, had = child.shape.vocab, parent.model.shape.vocab
    if parent.ids_V is None and vocab != had:
        raise UserError(
            f"the child has {vocab} ids and the parent {parent.name} {had}, and no map leads from one to the other: "
            "give both the same tokenizer, or the child tokenizer=pruned of the parent's"
        )
    if parent.ids_V is not None:
        ids_V = parent.ids_V
        if len(ids_V) != vocab or ids_V.min() < 0 or ids_V.max() >= had:
            raise UserError(
                f"the map of {len(ids_V)} ids, up to {int(ids_V.max())}, does not lead from the child's {vocab} ids to "
                f"the {had} of the parent {parent.name}: give the child a tokenizer pruned from this parent's"
            )


def refuse_places(child: LanguageModel, parent: LanguageModel, name: str) -> None:
    """Refuse a parent whose table of places ends before the child's.

    Raises:
        UserError: it has fewer places.
    """
    places, rows = child.shape.context, parent.shape.context
    if places > rows and any("T" in letters for letters in child.axes().values()):
        raise UserError(f"the parent {name} has {rows} places and the child {places}: set batch.context={rows}")


def refuse_strange(child: LanguageModel, parent: LanguageModel, layers: Mapping[int, int], name: str) -> None:
    """Refuse a parent whose parts are not the child's.

    Args:
        layers: child's layer -> parent's layer.

    Raises:
        UserError: another class or another option of a part, a part that the child lacks, a head of its own where
            the child's is tied.
    """
    if type(child.placement) is not type(parent.placement):
        raise UserError(
            f"model/placement is {type(child.placement).__name__} in the child and {type(parent.placement).__name__} "
            f"in the parent {name}: only a model of the same parts can be inherited"
        )
    _refuse_placement(child.placement, parent.placement, name)
    theirs = dict(parent.slots())
    for path, slot in child.slots():
        at = _inherited(path, layers)
        if at is None or at not in theirs:
            continue
        other = theirs.pop(at)
        if type(slot) is not type(other):
            raise UserError(
                f"{path} is {type(slot).__name__} in the child and {type(other).__name__} in the parent {name}: "
                "only a model of the same parts can be inherited"
            )
        for option, value in _options(slot).items():
            if _options(other).get(option) != value:
                raise UserError(
                    f"{path} has {option}={value} in the child and {_options(other).get(option)} in the parent {name}: "
                    "give the child the parent's option"
                )
    for path in theirs:
        if not path.startswith("blocks.") or int(path.split(".")[1]) in layers.values():
            raise UserError(f"the parent {name} has {path} and the child has no such part: give it one")
    if child.shape.tied and parent.unembedding is not None:
        raise UserError(f"the parent {name} has a head of its own: set shape.tied=false, or take a tied parent")


def _refuse_placement(child: Placement, parent: Placement, name: str) -> None:
    """What only scales draws may differ: an inherited weight is not drawn."""
    gains = (child.gain(), parent.gain())
    for option, value in _options(child).items():
        other = _options(parent).get(option)
        if value != other and (value, other) != gains:
            raise UserError(
                f"model/placement has {option}={value} in the child and {other} in the parent {name}: set "
                f"model.placement.{option}={other}"
            )


def refuse_unused(child: LanguageModel, parent: LanguageModel, cut: Cut, name: str) -> None:
    """Refuse a parent with more to give than the child would take: what is dropped would change the function.

    Of layers that go nothing is asked. A tied parent's table stands for its head too.

    Args:
        cut: the layers that stay.

    Raises:
        UserError: a parameter of a layer that stays, or of all layers, is the source of none of the child's.
    """
    used = {cut.source(own, parent) for own, _ in child.named_parameters()}
    for theirs, _ in parent.named_parameters():
        words = theirs.split(".")
        if theirs not in used and (words[0] != "blocks" or int(words[1]) in cut.layers.values()):
            raise UserError(
                f"the parent {name} has {theirs} and the child no such parameter: give the child the parent's options "
                "of this part"
            )


def refuse_uneven(child: LanguageModel, parent: LanguageModel, cut: Cut, name: str) -> None:
    """Refuse a part whose size follows neither from the parent nor from what is left of it.

    Args:
        cut: as many of everything as are to stay, whichever. Rows of the token table are not asked about: their
            number may be unknown yet.

    Raises:
        UserError: a parameter is of another size in the child than the parent leaves.
    """
    axes = child.axes()
    for own, parameter in child.named_parameters():
        source, letters = cut.source(own, parent), axes.get(own, "")
        if source is None:
            continue
        left = cut.sizes(source, own, letters, parent)
        asked = [axis for axis, letter in enumerate(letters.ljust(len(left))) if letter != "V"]
        if len(left) != parameter.dim() or any(left[axis] != parameter.shape[axis] for axis in asked):
            raise UserError(
                f"{own} is {list(parameter.shape)} in the child and {left} of what the parent {name} leaves: give both "
                "options that make this part of one size, or the child its parent's sizes"
            )


def _inherited(path: str, layers: Mapping[int, int]) -> str | None:
    words = path.split(".")
    if words[0] != "blocks":
        return path
    layer = layers.get(int(words[1]))
    return None if layer is None else ".".join(["blocks", str(layer), *words[2:]])


def _options(slot: Slot | Placement) -> dict[str, Any]:
    """What a part was told beside its shape and its layer."""
    return {
        option: value
        for option, value in vars(slot).items()
        if isinstance(value, (int, float, str, bool)) and option not in ("training", "layer") and option[0] != "_"
    }


def refuse_uncut(
    child: LanguageModel, parent: LanguageModel, name: str, pools: Collection[Pool], rescale: bool
) -> None:
    """Refuse to cut parts that do not bear it.

    Args:
        pools: what has to go in part.
        rescale: fewer channels have to be made up for.

    Raises:
        UserError: a part does not declare its axes; a norm subtracts the mean of channels, or stands
            where a rescale does not help.
    """
    axes = child.axes()
    width = f"set shape.width={parent.shape.width}, the width of the parent {name}"
    if (None, "D") in pools and rescale and not child.placement.any_scale:
        raise UserError(
            f"{type(child.placement).__name__} puts norms where fewer channels cannot be made up for: {width}, or "
            "init.rescale=false"
        )
    for whole, _ in child.named_parameters():
        if pools and whole not in axes:
            raise UserError(
                f"{whole} cannot be cut, its axes are not declared: give the child the sizes of its parent {name}"
            )
    for path, slot in child.slots():
        if (None, "D") in pools and isinstance(slot, Norm) and not slot.by_mean_square:
            raise UserError(
                f"{path} is {type(slot).__name__}, whose mean would lack the channels left out: {width}, or take "
                "model/norm=rms for both"
            )
