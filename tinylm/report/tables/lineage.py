"""The lineage of a run: what went into it, from the text to the scores, each with its hash and what it took."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinylm.record import RunRecord, wall_seconds
from tinylm.report.claims.portable import portable
from tinylm.report.judgement.wording import amount
from tinylm.report.records.history import read_history

Find = Callable[[str], Path | None]
SHORT = 12  # characters of a hash that are shown
_KIN = ("parent", "teacher")  # runs that provenance may name by their keys


@dataclass(frozen=True)
class Node:
    """One thing that a run derives from, or the run itself.

    Fields:
        name: unique in its lineage.
        kind: ``data``, ``tokenizer``, ``tokens``, ``run``, ``initialisation``, ``round`` or ``evaluation``; of another
            run with ``parent`` or ``teacher`` before it.
        title: what it is, in words.
        hash: of what it holds or derives from; a run's is its key.
        cost: what it took, in words; empty where nothing was recorded.
        sources: names of the nodes that it was made from.
    """

    name: str
    kind: str
    title: str
    hash: str
    cost: str = ""
    sources: list[str] = field(default_factory=list)


def lineage(folder: Path, find: Find) -> list[Node]:
    """Everything that the run in ``folder`` derives from, sources before what is made of them; its scores last.

    Args:
        find: the folder of an ended run by its key, or None where it is not at hand: then the run that needed it tells
            what it knows of it.

    Raises:
        FileNotFoundError: the run has not ended.
        UserError: its record, or that of a run it derives from, is torn.
    """
    nodes: dict[str, Node] = {}
    _add(nodes, folder, find, "")
    return list(nodes.values())


def _add(nodes: dict[str, Node], folder: Path, find: Find, role: str) -> str:
    """Add a run and what it derives from, unless it is there already; the name of its last state of weights."""
    record = RunRecord.read(folder)
    last = f"run {record.key}"
    if last in nodes:
        return last
    known, config, cost = record.provenance, record.config, record.cost
    made = known.get("prepared", {})  # not in records of older versions
    size = f"{amount(made['bytes'])} bytes" if "bytes" in made else ""
    text = _put(
        nodes, Node(_named("data", known.get("corpus")), "data", _data(record), _short(known.get("corpus")), size)
    )
    tokenizer = _tokenizer(nodes, record, text)
    store = _named("tokens", known.get("store"))
    held = f"{amount(made['tokens'])} tokens" if "tokens" in made else ""
    packed = ", ".join(part for part in (_hours(made.get("store_seconds")), held) if part)
    _put(nodes, Node(store, "tokens", "text as tokens", _short(known.get("store")), packed, [text, tokenizer]))
    state = _initialised(nodes, record, find)
    sources = [store, state]
    for node in _rounds(record, folder, store, state):
        sources = [_put(nodes, node)]
    shape = record.accounting.get("shape", {})
    total = record.accounting.get("parameters", {}).get("total")
    title = (
        f"{shape.get('depth', '?')} layers of {shape.get('width', '?')}, {amount(total)} parameters; {record.status}"
    )
    _put(nodes, Node(last, f"{role} run".strip(), title, record.key, _cost(cost), sources))
    for name, version in known.get("evaluators", {}).items() if not role else ():
        node = config.get("evaluate", {}).get(name, {})
        score = record.metrics.get("bits_per_byte") if name == "bits" else None
        title = f"{name}, version {version}" + ("" if score is None else f": {score:.4f} bits per byte")
        took = _hours(cost.get("evaluate_seconds")) if name == next(iter(known["evaluators"])) else ""
        took += " for all of them" * bool(took and len(known["evaluators"]) > 1)
        _put(nodes, Node(f"evaluation {name}", "evaluation", title, _hash([node, version]), took, [last, text]))
    return last


def _tokenizer(nodes: dict[str, Node], record: RunRecord, text: str) -> str:
    known, sources = record.provenance, [text]
    vocab = record.accounting.get("shape", {}).get("vocab")
    title = f"{record.choices.get('tokenizer', 'tokenizer')}, {vocab:,} tokens" if vocab else "tokenizer"
    pruning = known.get("tokenizer_pruning")
    if pruning:
        origin = Node(_named("tokenizer", pruning["original"]), "tokenizer", "what it was pruned from", "", "", [text])
        sources.append(_put(nodes, Node(**{**vars(origin), "hash": _short(pruning["original"])})))
    name = _named("tokenizer", known.get("tokenizer"))
    took = _hours(known.get("prepared", {}).get("tokenizer_seconds"))
    return _put(nodes, Node(name, "tokenizer", title, _short(known.get("tokenizer")), took, sources))


def _initialised(nodes: dict[str, Node], record: RunRecord, find: Find) -> str:
    """The first weights, with the runs that they were taken from."""
    sources = []
    for role in _KIN:
        key = record.provenance.get(role)
        if not isinstance(key, str):
            continue
        folder = find(key)
        if folder is not None:
            sources.append(_add(nodes, folder, find, role))
        else:
            told = f"{amount(record.cost.get(f'{role}_flops'))} FLOPs" if record.cost.get(f"{role}_flops") else ""
            sources.append(_put(nodes, Node(f"run {key}", f"{role} run", "its record is not at hand", key, told)))
    chain = ", ".join(str(item.get("initialiser")) for item in record.provenance.get("initialisation", []))
    flops, seconds = (record.cost.get(f"initialise_{unit}") for unit in ("flops", "seconds"))
    took = ", ".join(part for part in (_hours(seconds), f"{amount(flops)} FLOPs" if flops else "") if part)
    hashed = _hash([portable(record.config.get("init")), record.config.get("seed"), sources])
    title = f"{chain or record.choices.get('init', 'weights')}, seed {record.config.get('seed')}"
    return _put(nodes, Node(f"first weights of {record.key}", "initialisation", title, hashed, took, sources))


def _rounds(record: RunRecord, folder: Path, store: str, state: str) -> list[Node]:
    """The rounds of training, where there are several; what each took is told by the history."""
    planned = record.config.get("rounds", {}).get("number") or 1
    path = folder / "history.jsonl"
    ends = {line.get("round", 0): line for line in (read_history(path, []) if path.is_file() else [])}
    nodes: list[Node] = []
    before = dict.fromkeys(("seconds", "flops", "tokens"), 0.0)
    for number in range(planned if planned > 1 else 0):
        after = {name: float(ends.get(number, {}).get(name, before[name])) for name in before}
        spent = {name: after[name] - before[name] for name in before}
        cost = f"{_hours(spent['seconds'])}, {amount(spent['flops'])} FLOPs" if spent["seconds"] else ""
        review = next((item for item in record.rounds if item.get("round") == number), {})  # of the round before
        drawn = (
            f"{review['drawn']:,} of {review['units']:,} units drawn anew" if "drawn" in review else "the whole text"
        )
        name = f"round {number + 1} of {record.key}"
        hashed = _hash([record.key, number + 1])
        nodes.append(Node(name, "round", f"round {number + 1}: {drawn}", hashed, cost, [store, state]))
        before, state = after, name
    return nodes


def tree(nodes: Sequence[Node]) -> str:
    """The lineage as text: each thing above what it was made from, indented; told once, then by its hash alone."""
    known = {node.name: node for node in nodes}
    used = {name for node in nodes for name in node.sources}
    told: set[str] = set()
    rows: list[tuple[str, str, str]] = []

    def tell(node: Node, before: str, branch: str, below: str) -> None:
        again = node.name in told
        title = "(as above)" if again else node.title
        rows.append((f"{before}{branch}{node.kind}: {title}", node.hash, "" if again else node.cost))
        if again:
            return
        told.add(node.name)
        for place, name in enumerate(reversed(node.sources), start=1):
            ending = place == len(node.sources)
            tell(known[name], before + below, "└─ " if ending else "├─ ", "   " if ending else "│  ")

    for node in nodes:
        if node.name not in used:
            tell(node, "", "", "")
    wide = max(len(row[0]) for row in rows)
    hashes = max(len(row[1]) for row in rows)
    return "\n".join(f"{row[0]:<{wide}}  {row[1]:<{hashes}}  {row[2]}".rstrip() for row in rows)


def _put(nodes: dict[str, Node], node: Node) -> str:
    """Add a node; of two tales of one thing the first stays, with what it took from whichever knows it."""
    known = nodes.setdefault(node.name, node)
    if not known.cost:
        nodes[node.name] = replace(known, cost=node.cost)
    return node.name


def _data(record: RunRecord) -> str:
    data = portable(record.config.get("data", {}))
    files = ", ".join(map(str, data.get("paths") or [])) if isinstance(data.get("paths"), list) else ""
    choice = record.choices.get("data", "data")
    return f"{choice}: {files}" if files else str(choice)


def _cost(cost: Mapping[str, Any]) -> str:
    parts = [_hours(wall_seconds(cost))]
    parts += [f"{amount(cost['flops'])} FLOPs"] if cost.get("flops") else []
    parts += [f"{amount(cost['bytes'])} bytes read"] if cost.get("bytes") else []
    parts += [f"{cost['energy_joules'] / 3.6e6:.3g} kWh"] if cost.get("energy_joules") else []
    return ", ".join(part for part in parts if part)


def _hours(seconds: float | None) -> str:
    if not seconds:
        return ""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def _named(kind: str, digest: Any) -> str:
    return f"{kind} {_short(digest)}"


def _short(digest: Any) -> str:
    """The beginning of a hash; a corpus of several parts has one for each, a run that failed early may have none."""
    if digest is None:
        return "–"
    return digest[:SHORT] if isinstance(digest, str) else _hash(digest)


def _hash(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()[:SHORT]
