"""``tinylm new``: drafts of a claim or a variant, with their test."""

from __future__ import annotations

from pathlib import Path

from tinylm.cli.parser import Parser

NEW = """Write a draft that runs as it is, to be edited: a claim's file, or a variant's class, config and test.

In a checkout of tinylm the files go where the package looks for them; elsewhere into my_conf/, my_parts/ and tests/.
A variant begins as a copy of one that works, without its description.

examples:
  tinylm new claim gated_units                        sweeps/gated_units.yaml, every key with a comment
  tinylm new variant model/ffn/squared_gelu           begun as a copy of the group's shortest option
  tinylm new variant optim/mine --like lion           begun as a copy of lion"""


def new_command(words: list[str]) -> int:
    """``tinylm new claim NAME`` and ``tinylm new variant GROUP/NAME``."""
    parser = Parser("tinylm new", NEW)
    parser.add_argument("what", choices=["claim", "variant"])
    parser.add_argument("name", metavar="NAME", help="of a claim: NAME; of a variant: GROUP/NAME")
    parser.add_argument("--like", metavar="OPTION", help="the option that a variant begins as a copy of")
    options = parser.parse_args(words)
    from tinylm.compose import draft

    home = Path()
    if options.what == "claim":
        if options.like:
            parser.error("--like is of variants")
        written = draft.claim(options.name, home)
    else:
        written = draft.variant(options.name, home, options.like)
    for path in written:
        print(f"wrote {path}")
    own = "" if draft.Place.of(home).checkout else f" --config-dir {draft.CONF}"
    if options.what == "claim":
        print(f"\nedit it; then: tinylm sweep {options.name}{own} --plan")
    else:
        group, _, name = options.name.rpartition("/")
        allow = f"PYTHONPATH=. TINYLM_ALLOW={draft.PARTS} " if own else ""
        print(f"\nedit them; then: {allow}tinylm run{own} {group}={name}; pytest {written[-1]}")
    return 0
