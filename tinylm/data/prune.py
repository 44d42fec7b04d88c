"""Tokenizer compression: keep the pieces that a corpus uses most, delete the rest.

After Tang et al. 2024 (PanGu-pi Pro, arXiv:2402.02791) and its public scripts: count the ids that the original gives
a corpus, keep special pieces and the most frequent others, learn nothing anew. The paper prunes SentencePiece models,
by a target size; closing BPE pieces under their merges and stopping at a coverage are our construction. Special is what
the tokenizer flags as such; the scripts keep whatever is written <...> or [...], which a text may hold as well.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
import tokenizers

from tinylm.data.alphabet import Form, pieces
from tinylm.data.tokens import Origin, Texts, Tokenizer
from tinylm.errors import UserError

AT_ONCE = 1 << 20  # letters encoded at once: memory holds no more of the text


@dataclass(frozen=True)
class Kept:
    """Which ids stay.

    Fields:
        ids: the original's, in its order.
        closure: how many of them frequency alone would not have kept: a piece that is kept is merged from them.
        coverage: the part of the counted tokens that they are.
    """

    ids: list[int]
    closure: int
    coverage: float


def count(tokenizer: Tokenizer, texts: Iterable[str]) -> np.ndarray:
    """How often each id occurs in texts: int64 (V,). Special tokens, which no text encodes to, are never counted."""
    counts_V = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for some in _gathered(texts):
        ids = np.fromiter(chain.from_iterable(tokenizer.encode_batch(some)), np.int64)
        counts_V += np.bincount(ids, minlength=len(counts_V))
    return counts_V


def _gathered(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in lists of about a megabyte, however long each is."""
    some: list[str] = []
    letters = 0
    for text in texts:
        some.append(text)
        letters += len(text)
        if letters >= AT_ONCE:
            yield some
            some, letters = [], 0
    yield some


def prune(
    original: Tokenizer, counts_V: np.ndarray, *, vocab: int | None = None, coverage: float | None = None
) -> Tokenizer:
    """The tokenizer that has only the most frequent pieces of ``original``; its ``origin`` says which.

    Ids keep their order. BPE keeps the merges whose parts and result are kept; Unigram keeps its scores. A text is to
    be encoded anew: that is not the same as splitting the ids of deleted pieces.

    Args:
        original: the tokenizer.
        counts_V: int64, how often it gives each id.
        vocab: ids to keep in all; always reached exactly.
        coverage: or the part of the counted tokens that the kept ids are at least, in (0, 1]. One of the two is given.

    The origin's report: ``original_vocab``, ``vocab``, ``coverage``; ``bytes_per_token_before`` (of what was counted);
    ``closure`` (ids kept for closure only); ``unreachable`` (kept pieces that no text encodes to) and
    ``unreachable_before`` (those of them that the original could not reach either: all, or it is refused).

    Raises:
        UserError: ``vocab`` is below what cannot be deleted or above what there is, or a piece would be
            out of reach.
    """
    lost = unreachable(original)
    kept = keep(original, counts_V, vocab=vocab, coverage=coverage, lost=lost)
    new = {old: index for index, old in enumerate(kept.ids)}
    form = restricted(original.form, new)
    pruned = Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(form)))
    if pieces(pruned.form) != pieces(form):
        raise UserError("the tokenizer's added tokens stand among its pieces, and its ids cannot be closed up")
    still = {kept.ids[index] for index in unreachable(pruned)}
    if still - lost:
        raise UserError(
            f"tokenizer=pruned: no text would reach {len(still - lost)} of the {pruned.vocab_size} kept ids, though "
            "the original reaches them: its merges do not close; take another tokenizer.vocab or another tokenizer"
        )
    report = {
        "original_vocab": original.vocab_size,
        "vocab": pruned.vocab_size,
        "coverage": kept.coverage,
        "bytes_per_token_before": bytes_per_token(original, counts_V),
        "closure": kept.closure,
        "unreachable": len(still),
        "unreachable_before": len(still & lost),
    }
    pruned.origin = Origin(original.hash, np.array(kept.ids, dtype=np.int64), report)
    return pruned


def bytes_per_token(tokenizer: Tokenizer, counts_V: np.ndarray) -> float:
    """Bytes of text an id, special tokens aside; 0 where nothing was counted."""
    return float(counts_V @ tokenizer.bytes_V) / max(1, int(counts_V.sum()))


def measured(pruned: Tokenizer, original: Tokenizer, texts: Texts) -> dict[str, float]:
    """``coverage``, ``bytes_per_token`` and ``bytes_per_token_before`` on texts that need not have been counted."""
    assert pruned.origin is not None
    before_V, after_V = count(original, texts()), count(pruned, texts())
    return {
        "coverage": float(before_V[pruned.origin.ids_V].sum() / max(1, before_V.sum())),
        "bytes_per_token": bytes_per_token(pruned, after_V),
        "bytes_per_token_before": bytes_per_token(original, before_V),
    }


def keep(
    tokenizer: Tokenizer,
    counts_V: np.ndarray,
    *,
    vocab: int | None = None,
    coverage: float | None = None,
    lost: Iterable[int] = (),
) -> Kept:
    """Choose the ids that stay: what encoding rests on, then the most frequent, each with all that it is merged from.

    Where a piece with its parts has no room any more, the next that has is taken, so a size is always met.

    Args:
        tokenizer, counts_V, vocab, coverage: as in ``prune``.
        lost: ids that no text encodes to; they come last.

    Raises:
        UserError: as ``prune``.
    """
    form = tokenizer.form
    vocabulary = pieces(form)
    always = basis(tokenizer)
    if vocab is not None and not len(always) <= vocab <= len(vocabulary):
        limit = (
            f"below the {len(always)} ids (256 bytes, special tokens and what encoding rests on)"
            if vocab < len(always)
            else f"above the {len(vocabulary)} ids"
        )
        raise UserError(f"tokenizer.vocab={vocab} is {limit} of the tokenizer that is pruned")
    parts = _parts(form, vocabulary)
    last = set(lost)
    order = sorted(set(vocabulary.values()) - always, key=lambda index: (index in last, -counts_V[index], index))
    total, room = int(counts_V.sum()), len(vocabulary) if vocab is None else vocab
    kept = set(always)
    covered = int(counts_V[sorted(kept)].sum())
    for index in order:
        if len(kept) == room if coverage is None else covered >= coverage * total:
            break
        entering = _closure(index, parts) - kept
        if len(kept) + len(entering) <= room:
            kept |= entering
            covered += int(counts_V[sorted(entering)].sum())
    frequent = order[: len(kept) - len(always)]
    return Kept(sorted(kept), len(kept - always - {*frequent}), covered / total if total else 1.0)


def basis(tokenizer: Tokenizer) -> set[int]:
    """Ids that stay in any case: all bytes, special tokens, and those that encoding refers to by name or number."""
    form, vocabulary = tokenizer.form, pieces(tokenizer.form)
    named = {form["model"].get("unk_token"), tokenizer.blank} & vocabulary.keys()
    numbered = {place[key] for place, key in _references(form)}
    return {*tokenizer.byte_ids, *tokenizer.specials, *(vocabulary[name] for name in named), *numbered}


def unreachable(tokenizer: Tokenizer) -> set[int]:
    """Ids of pieces that do not encode to themselves, and so occur in the encoding of no text; by trying each.

    Neither a merge nor the best path of a Unigram depends on what stands around a piece, so trying it alone is enough.
    What encoding rests on is left out (a byte's own piece may be reached by broken text alone), and so are added
    tokens, which are found in the text itself. Whether the splitter hands a piece over whole is not asked: pruning
    leaves it alone.
    """
    form = tokenizer.form
    aside = basis(tokenizer) | {token["id"] for token in form["added_tokens"]}
    model = tokenizer.backend.model
    return {
        index
        for piece, index in pieces(form).items()
        if index not in aside and [token.id for token in model.tokenize(piece)] != [index]
    }


def restricted(form: Form, new: dict[int, int]) -> Form:
    """A ``tokenizer.json`` with some of its ids.

    Args:
        form: the file, parsed; it is changed.
        new: old id -> new id, of those that stay; without gaps and in the old order.
    """
    model = form["model"]
    for place, key in _references(form):
        place[key] = new[place[key]]
    if model["type"] == "BPE":
        vocabulary = {piece: new[index] for piece, index in model["vocab"].items() if index in new}
        model["merges"] = [pair for pair in model["merges"] if {*pair, "".join(pair)} <= vocabulary.keys()]
        model["vocab"] = vocabulary
    else:
        model["vocab"] = [entry for index, entry in enumerate(model["vocab"]) if index in new]
    form["added_tokens"] = [{**token, "id": new[token["id"]]} for token in form["added_tokens"] if token["id"] in new]
    return form


def _references(form: Form) -> Iterator[tuple[Any, Any]]:
    """Where ids stand as numbers outside the vocabulary: the container and the key or index."""
    if form["model"].get("unk_id") is not None:
        yield form["model"], "unk_id"
    waiting = [form["post_processor"]] if form["post_processor"] else []
    while waiting:
        step = waiting.pop()
        waiting += step.get("processors", [])
        for pair in (step.get("cls"), step.get("sep")):
            if pair:
                yield pair, 1
        if step["type"] == "TemplateProcessing":
            for token in step["special_tokens"].values():
                yield from ((token["ids"], at) for at in range(len(token["ids"])))


def _parts(form: Form, vocabulary: dict[str, int]) -> dict[int, tuple[int, int]]:
    """BPE: id -> the two ids that it is merged from in the end."""
    merges = [(left, right) for left, right in form["model"].get("merges", ())]
    rank = {pair: place for place, pair in reversed(list(enumerate(merges)))}
    makers = defaultdict(list)
    for pair in merges:
        makers["".join(pair)].append(pair)
    last = {piece: pairs[0] if len(pairs) == 1 else _last_merge(piece, rank, pairs) for piece, pairs in makers.items()}
    return {vocabulary[piece]: (vocabulary[left], vocabulary[right]) for piece, (left, right) in last.items()}


def _last_merge(piece: str, rank: dict[tuple[str, str], int], makers: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The pair that a piece comes from where several make it: merged as the encoder does, lowest rank first."""
    word = list(piece)
    while len(word) > 2:
        found = [(rank[pair], at) for at, pair in enumerate(pairwise(word)) if pair in rank]
        if not found:
            return makers[0]
        at = min(found)[1]
        word[at : at + 2] = ["".join(word[at : at + 2])]
    return (word[0], word[1]) if len(word) == 2 and tuple(word) in rank else makers[0]


def _closure(index: int, parts: dict[int, tuple[int, int]]) -> set[int]:
    """A piece and all that it is merged from."""
    found, waiting = set(), [index]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += parts.get(one, ())
    return found
