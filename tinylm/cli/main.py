"""``tinylm COMMAND ...``: picks the command, turns errors into one line and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence

from tinylm.errors import Interrupted, UserError, nearest

INTERRUPTED = 130

# command -> (module, what it does in a few words)
COMMANDS = {
    "run": ("tinylm.cli.train", "train and score one variant"),
    "sweep": ("tinylm.cli.train", "run a claim: its arms over its seeds, then the verdict"),
    "report": ("tinylm.cli.report", "write a sweep's report: verdicts, tables, figures, page"),
    "list": ("tinylm.cli.listing", "list sweeps, variants or runs"),
    "show": ("tinylm.cli.show", "show one run: what it is, cost and scored"),
    "diff": ("tinylm.cli.show", "show in what two runs differ"),
    "eval": ("tinylm.cli.evaluate", "score a trained model again, on its own text or on other text"),
    "lm-eval": ("tinylm.cli.harness", "lm-eval's own command line, with our models and tasks"),
    "sample": ("tinylm.cli.sample", "let a trained model go on with a text"),
    "export": ("tinylm.cli.export", "write a run's model for transformers"),
    "extract": ("tinylm.cli.extract", "the part of a model that one domain needs"),
    "new": ("tinylm.cli.new", "write a draft of a claim or a variant, with its test"),
    "prune": ("tinylm.cli.prune", "free disk: what no finished run needs"),
}

HELP = """tinylm: does this change to a tiny language model help, by how much, at what cost, and can I trust the answer?

usage: tinylm COMMAND [...]

{commands}

Exit codes: 0 done, 1 a run failed (the others finished), 2 wrong input (nothing was trained), 130 interrupted.

Example:
  tinylm sweep quickstart                 # two architectures, three seeds, a verdict (about 5 minutes on 2 cores)
  tinylm run model/ffn=gelu shape.depth=8 seed=3
  tinylm COMMAND --help                   # every command has an example
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point; ends the process with 0 (done), 1 (a run failed), 2 (wrong input) or 130 (interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(dispatch(words))


def dispatch(words: list[str]) -> int:
    """Run one command line; its exit code."""
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print(HELP.format(commands="\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())))
        return 0
    name = words[0]
    try:
        if name == "--version":
            from tinylm.runs.provenance import code_version

            print(f"tinylm {code_version()}")
            return 0
        if name not in COMMANDS:
            raise UserError(f"there is no command {name!r}{nearest(name, COMMANDS)}")
        return int(vars(importlib.import_module(COMMANDS[name][0]))[f"{name.replace('-', '_')}_command"](words[1:]))
    except UserError as error:
        print(f"tinylm: {error}", file=sys.stderr)
        return 2
    except Interrupted as error:
        print(f"tinylm: {error}", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print("tinylm: interrupted; what is finished is kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `tinylm list runs | head` closed early
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a folder that is a file, a disk that is full or may not be written
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        named = f"{error.filename}: " if error.filename is not None else ""
        print(f"tinylm: {named}{error.strerror}", file=sys.stderr)
        return 2
