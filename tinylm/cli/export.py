"""``tinylm export``: a run as a folder that transformers loads."""

from __future__ import annotations

from pathlib import Path

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots

EXPORT = """Write a run's model and tokenizer for transformers: config, safetensors, tokenizer, model card.

Models of the parts of Llama, Mistral, Mixtral and GPT-2 can be written, all others are refused with the reason. What
was written is loaded with transformers and compared before the folder gets its name.

example:
  tinylm export 3f2a exported/mine
  python -c "from transformers import pipeline; print(pipeline('text-generation', 'exported/mine')('The history of'))"
"""


def export_command(words: list[str]) -> int:
    """``tinylm export KEY DIR``."""
    parser = Parser("tinylm export", EXPORT)
    parser.add_argument("key", metavar="KEY", help="a run's key, or its beginning; its weights must have been kept")
    parser.add_argument("folder", metavar="DIR", help="where to write; it is empty or not there")
    add_roots(parser)
    options = parser.parse_args(words)
    from tinylm.compose.export import export

    proof = export(options.key, Path(options.folder), [Path(root) for root in roots(options)])
    print(
        f"{options.folder}: {proof.architecture}; transformers {proof.version} gives the same ids, and the "
        f"same logits to {proof.difference:.1e} of up to {proof.largest:.3g}; its README.md wants a licence from you"
    )
    return 0
