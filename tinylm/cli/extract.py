"""``tinylm extract``: the part of a model that one domain needs."""

from __future__ import annotations

from pathlib import Path

from tinylm.cli.parser import Parser
from tinylm.cli.roots import add_roots, roots

EXTRACT = """Write the sub-model with one domain's experts alone; on that domain its logits are the whole model's.

example:
  tinylm run data=code_and_prose model/ffn=random_routed model.ffn.groups=4
  tinylm extract 3f2a --domain code --out extracted"""


def extract_command(words: list[str]) -> int:
    """``tinylm extract KEY --domain NAME``."""
    parser = Parser("tinylm extract", EXTRACT)
    parser.add_argument("key", metavar="KEY", help="a run's key, or its beginning; its weights must have been kept")
    parser.add_argument("--domain", required=True, metavar="NAME", help="the domain whose experts stay")
    parser.add_argument("--out", default="extracted", metavar="DIR", help="where to write (default: extracted)")
    add_roots(parser)
    options = parser.parse_args(words)
    from tinylm.compose.extract import extract
    from tinylm.record import RunRecord

    folder = extract(options.key, options.domain, [Path(root) for root in roots(options)], Path(options.out))
    counted = RunRecord.read(folder).accounting["parameters"]
    print(f"{folder}: {counted['total']:,} parameters; `tinylm sample {folder.name} --root {folder.parent}` reads it")
    return 0
