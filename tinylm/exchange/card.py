"""The model card of an export, written from the record of its run."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from tinylm.exchange.export import Proof
from tinylm.record import RunRecord

OF_A_LAYER = re.compile(r"_\d+$")  # such scores tell of the training, and there are many
COUNTS = ("documents", "bytes")
HEAD = """---
library_name: transformers
pipeline_tag: text-generation
tags: [tinylm]
# license: yours to choose, with an eye on the text that the model was trained on
---
"""
USE = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}")
prompt = tokenizer("The history of", return_tensors="pt")
print(tokenizer.decode(model.generate(**prompt)[0], skip_special_tokens=True))
```"""


def card(record: RunRecord, proof: Proof, folder: str, spreads: Mapping[str, str]) -> str:
    """README.md.

    Args:
        record: its texts go to others: paths in it are names already.
        proof: what was found when transformers loaded the export.
        folder: its name.
        spreads: metric -> how far it scatters, in words.
    """
    shape, counted = record.accounting["shape"], record.accounting["parameters"]
    sizes = (
        f"{shape['depth']} layers of width {shape['width']}, {shape['heads']} heads of {shape['head_dim']} "
        f"({shape['kv_heads']} of keys and values), {shape['vocab']:,} tokens in the vocabulary, "
        f"{shape['context']:,} in a sequence, head and token table {'one' if shape['tied'] else 'apart'}"
    )
    active = f", {counted['active']:,} of them used by a token" if counted["active"] != counted["total"] else ""
    chosen = {name: option for name, option in record.choices.items() if name.startswith("model/")}
    parts = [
        f"{HEAD}\n# {_text(folder)}",
        f"A language model of {counted['total']:,} parameters{active}, trained by tinylm as run `{record.key}`. It is "
        "a subject of a study of very small models: it completes text, and knows and can do next to nothing.",
        f"## Use\n\n{USE.format(folder=_text(folder))}\n\nEvery text begins with the token that opens a document; "
        "the tokenizer puts it there, and reads the name of a special token within a text as text.",
        f"## Model\n\n`{proof.architecture}`: {sizes}.\n\n{_listed(chosen)}",
        f"## Data\n\n{_data(record)}",
        f"## Training\n\n{_training(record)}",
        f"## Scores\n\n{_scores(record, spreads)}",
        f"## This export\n\nThe weights are in fp32. transformers {proof.version} gives the logits of the run to "
        f"{proof.difference:.1e}, of logits up to {proof.largest:.3g}, on random tokens.",
    ]
    if record.warnings:
        parts.insert(-1, "## Read with care\n\n" + "\n".join(f"- {_text(warning)}" for warning in record.warnings))
    return "\n\n".join(parts) + "\n"


def _data(record: RunRecord) -> str:
    found = record.provenance
    options = {name: value for name, value in record.config["data"].items() if name != "_target_" and value is not None}
    lines = {
        "corpus": f"`{record.choices.get('data', '?')}` with {_json(options)}",
        "its content (sha256)": f"`{found.get('corpus', '?')}`",
        "tokenizer": f"`{record.choices.get('tokenizer', '?')}`, `{found.get('tokenizer', '?')}`",
        "read in training": f"{record.cost.get('tokens', 0):,} tokens, {record.cost.get('bytes', 0):,} bytes",
    }
    if "tokenizer_pruning" in found:
        lines["pruned from"] = f"a tokenizer of {found['tokenizer_pruning'].get('original_vocab', 0):,} ids"
    return _rows(lines)


def _machine(provenance: Mapping[str, Any]) -> str:
    device = provenance.get("gpu") or provenance.get("processor")
    return f"{_text(str(device))}, threads: {provenance.get('threads')}"


def _training(record: RunRecord) -> str:
    config, cost = record.config, record.cost
    budget = {name: value for name, value in config["budget"].items() if name != "_target_"}
    lines = {
        "budget": f"`{record.choices.get('budget', '?')}` {_json(budget)}",
        "spent": f"{cost.get('steps', 0):,} steps, {cost.get('flops', 0):.2e} FLOPs, {cost.get('seconds', 0):,.0f} s",
        "machine": _machine(record.provenance),
        "precision": str(config["precision"]),
        "seed": str(config["seed"]),
        "optimiser": _json({name: value for name, value in config["optim"].items() if name[0] != "_"}),
        "others": ", ".join(
            f"{name} `{record.choices[name]}`"
            for name in ("optim", "schedule", "objective", "init", "rounds")
            if name in record.choices
        ),
    }
    if record.provenance.get("parent"):
        lines["begins from"] = f"run `{record.provenance['parent']}`"
    return _rows(lines)


def _scores(record: RunRecord, spreads: Mapping[str, str]) -> str:
    kept = {name: value for name, value in record.metrics.items() if not OF_A_LAYER.search(name)}
    if not kept:
        return "None was taken."
    lines = ["| score | this model | how sure |", "|---|---|---|"]
    for name, value in sorted(kept.items()):
        shown = f"{value:,.0f}" if name.endswith(COUNTS) else f"{value:.4f}"
        lines.append(f"| {_text(name)} | {shown} | {_text(spreads.get(name, ''))} |")
    return (
        "\n".join(lines)
        + "\n\nBits per byte and losses (nats a token) are of documents that were not trained on, each "
        f"read from its beginning, in {record.config['precision']}."
    )


def _listed(options: Mapping[str, str]) -> str:
    return _rows({name: f"`{option}`" for name, option in options.items()})


def _rows(lines: Mapping[str, str]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in lines.items())])


def _json(value: Any) -> str:
    """Plain data as code in a table's cell."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True).replace("|", "\\|").replace("`", "'")
    return f"`{text}`"


def _text(words: str) -> str:
    """Words from elsewhere as words of a page, and of a table's cell."""
    return html.escape(words, quote=False).replace("|", "\\|").replace("\n", " ")
