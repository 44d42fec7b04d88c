"""The shape of a model, and the solver that finds one for a budget of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal

from tinylm.errors import UserError

HIDDEN_STEP = 8  # hidden sizes are multiples of it: rows of 16 bytes in bf16
HEAD_STEP = 4  # sizes of heads that are worked out are: an even half for rotary positions, rows of 8 bytes
TOLERANCE = 0.01  # of the budget
NEIGHBOURS = 6  # widths tried on the way to a shape within the tolerance
Count = Literal["total", "body", "active"]


@dataclass(frozen=True)
class Shape:
    """Every number that fixes the sizes of a model's tensors.

    Fields:
        depth: blocks.
        width: numbers a token in the residual stream (D).
        heads: query heads (H).
        kv_heads: key and value heads (G); they divide ``heads``.
        head_dim: numbers a head (K).
        hidden: hidden size of a feed-forward layer (F).
        vocab: tokens in the vocabulary (V).
        context: tokens in the longest sequence (T).
        tied: the output head is the token table.
        domains: names of the text's domains, in the order of their numbers; empty where it has none.
    """

    depth: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocab: int
    context: int
    tied: bool
    domains: tuple[str, ...] = ()

    @classmethod
    def told(cls, record: Mapping[str, Any]) -> Shape:
        """The shape that a record tells, as JSON keeps it."""
        return cls(**{**record, "domains": tuple(record.get("domains", ()))})


@dataclass(frozen=True)
class ShapeRequest:
    """What a config asks of a shape; what is None is worked out.

    Args:
        depth: blocks.
        width: residual width; None: the one that comes closest to ``parameters``, a multiple of ``head_dim``, or
            ``heads`` times a multiple of 4.
        hidden: feed-forward hidden size; None: the multiple of 8 that takes up the rest of ``parameters``, or is
            closest to ``ratio`` x width where no ``parameters`` are given.
        ratio: hidden / width aimed at while the width is sought.
        head_dim: numbers a head; None: width / heads.
        heads: query heads; None: width / head_dim.
        kv_heads: key and value heads; None: as many as query heads.
        tied: the output head is the token table.
        parameters: budget; None: width has to be given.
        count: what the budget counts: all parameters, the body (neither token table, position table nor head), or those
            that one token uses.
    """

    depth: int
    width: int | None = None
    hidden: int | None = None
    ratio: float = 8 / 3
    head_dim: int | None = 32
    heads: int | None = None
    kv_heads: int | None = None
    tied: bool = True
    parameters: int | None = None
    count: Count = "total"


@dataclass(frozen=True)
class Solved:
    """A shape and how near it came.

    Fields:
        target: parameters asked for, or None.
        reached: parameters of the shape, counted as ``ShapeRequest.count`` says.
        missed: (reached - target) / target; 0 without a target.
        note: the same in a line for people.
    """

    shape: Shape
    target: int | None
    reached: int
    missed: float
    note: str


def solve(
    request: ShapeRequest,
    *,
    vocab: int,
    context: int,
    count: Callable[[Shape], int],
    domains: tuple[str, ...] = (),
) -> Solved:
    """The shape that a request asks for, within 1% of its parameters.

    The width is sought at ``ratio``, among those made of whole heads; then the hidden size takes up the rest. Where
    its steps are too coarse at the nearest width, the next nearest are tried.

    Args:
        vocab: tokens in the vocabulary.
        context: tokens in the longest sequence.
        count: parameters of a shape, counted as ``request.count`` says; it must grow with width and hidden.
        domains: of the text.

    Raises:
        UserError: the request contradicts itself, or no shape comes within 1%; the message says what was reachable.
    """
    _refuse(request)

    def at(width: int, hidden: int) -> Shape:
        return replace(_at(request, width, hidden, vocab, context), domains=domains)

    if request.parameters is None:
        assert request.width is not None  # _refuse
        hidden = request.hidden or _aimed(request, request.width)
        shape = at(request.width, hidden)
        reached = count(shape)
        note = f"width {shape.width}, hidden {hidden}: {reached:,} parameters ({request.count})"
        return Solved(shape, None, reached, 0.0, note)

    @cache
    def size(width: int, hidden: int) -> int:
        return count(at(width, hidden))

    target = request.parameters
    nearest: tuple[float, int, int] | None = None  # |missed|, width, hidden
    for width in _widths(request, size):
        hidden = request.hidden or _closest(partial(size, width), target, HIDDEN_STEP)
        miss = abs(size(width, hidden) - target) / target
        if nearest is None or miss < nearest[0]:
            nearest = (miss, width, hidden)
        if miss <= TOLERANCE:
            break
    assert nearest is not None  # there is always a width to try
    _, width, hidden = nearest
    reached = size(width, hidden)
    missed = (reached - target) / target
    found = f"width {width}, hidden {hidden} ({hidden / width:.2f} x width): {reached:,} parameters ({request.count})"
    if abs(missed) > TOLERANCE:
        given, _ = _given(request)
        raise UserError(
            f"shape.parameters={target} ({request.count}) cannot be met within {TOLERANCE:.0%} at depth "
            f"{request.depth}, {given} {getattr(request, given)} and a vocabulary of {vocab}; the nearest is {found}, "
            f"{missed:+.1%}: change shape.depth, shape.{given}, the vocabulary, or set shape.parameters={reached}"
        )
    return Solved(at(width, hidden), target, reached, missed, f"{found}, {missed:+.2%} of {target:,}")


def _refuse(request: ShapeRequest) -> None:
    """Raise on a request that no search can mend."""
    for name in ("depth", "width", "hidden", "head_dim", "heads", "kv_heads", "parameters"):
        value = getattr(request, name)
        if value is not None and value < 1:
            raise UserError(f"shape.{name} is {value}; it has to be 1 or more")
    if request.ratio <= 0:
        raise UserError(f"shape.ratio is {request.ratio}; hidden / width has to be above 0")
    if request.width is None and request.parameters is None:
        raise UserError("shape has neither width nor parameters; give shape.width, or shape.parameters to solve for it")
    if request.width is not None and request.hidden is not None and request.parameters is not None:
        raise UserError(
            "shape has width, hidden and parameters, which leaves nothing to solve for; set one of them null"
        )
    if request.head_dim is None and request.heads is None:
        raise UserError("shape has neither head_dim nor heads; give one, and the other follows from the width")
    given, other = _given(request)
    if request.width is not None and getattr(request, other) is None and request.width % getattr(request, given):
        raise UserError(
            f"shape.width={request.width} is no multiple of shape.{given}={getattr(request, given)}; "
            f"change one of them or set shape.{other}"
        )
    if request.kv_heads is not None:
        heads = request.heads or (request.width and _heads(request, request.width)[0])
        if heads and heads % request.kv_heads:
            raise UserError(f"shape.kv_heads={request.kv_heads} does not divide the {heads} query heads")


def _at(request: ShapeRequest, width: int, hidden: int, vocab: int, context: int) -> Shape:
    """The shape at a width and a hidden size."""
    heads, head_dim = _heads(request, width)
    return Shape(
        depth=request.depth,
        width=width,
        heads=heads,
        kv_heads=request.kv_heads or heads,
        head_dim=head_dim,
        hidden=hidden,
        vocab=vocab,
        context=context,
        tied=request.tied,
    )


def _given(request: ShapeRequest) -> tuple[str, str]:
    """Which of head_dim and heads the width goes by, and the other."""
    return ("heads", "head_dim") if request.head_dim is None else ("head_dim", "heads")


def _heads(request: ShapeRequest, width: int) -> tuple[int, int]:
    """Query heads and their size at a width."""
    if request.head_dim is None:
        assert request.heads is not None  # _refuse
        return request.heads, width // request.heads
    return request.heads or width // request.head_dim, request.head_dim


def _aimed(request: ShapeRequest, width: int) -> int:
    return max(1, round(request.ratio * width / HIDDEN_STEP)) * HIDDEN_STEP


def _widths(request: ShapeRequest, size: Callable[[int, int], int]) -> Iterator[int]:
    """The width asked for, or the admissible ones, nearest to the budget first."""
    if request.width is not None:
        yield request.width
        return
    if request.head_dim is None:
        assert request.heads is not None  # _refuse
        step = request.heads * HEAD_STEP
    else:  # heads come in whole groups: where they follow from the width, it steps by a head for each key head
        step = request.head_dim * (request.kv_heads or 1 if request.heads is None else 1)

    def at_ratio(width: int) -> int:
        return size(width, request.hidden or _aimed(request, width))

    assert request.parameters is not None
    target = request.parameters
    middle = _closest(at_ratio, target, step)
    near = [middle + n * step for n in range(-NEIGHBOURS // 2, NEIGHBOURS // 2 + 1)]
    yield from sorted((width for width in near if width > 0), key=lambda width: abs(at_ratio(width) - target))


def _closest(size: Callable[[int], int], target: int, step: int) -> int:
    """The multiple of ``step``, at least one, whose size is closest to the target; sizes grow, or are all alike."""
    high = 1
    while size(high * step) < target:
        high *= 2
        if size(high * step) == size(high // 2 * step):  # a feed-forward that has no use for a hidden size
            return step
    low = max(1, high // 2)
    while low < high:
        middle = (low + high) // 2
        if size(middle * step) < target:
            low = middle + 1
        else:
            high = middle
    return min((n * step for n in (low - 1, low) if n >= 1), key=lambda value: abs(size(value) - target))
