"""``tinylm run`` and ``tinylm sweep``: Hydra's grammar, one readable line where something is wrong."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from tinylm.cli.parser import Parser
from tinylm.cli.scores import score_lines
from tinylm.compose.session import Outcome
from tinylm.errors import UserError, nearest
from tinylm.record import RunRecord, wall_seconds

RUN = """Train and score one variant. Overrides are Hydra's: group=option, key.path=value.

examples:
  tinylm run                                          the default: 1 M parameters on the standard library's text
  tinylm run model/ffn=gelu shape.depth=8 seed=3      another feed-forward layer, deeper, another seed
  tinylm run data=files 'data.paths=[wiki/*.txt.gz]' data.document=line budget.amount=2e6
  tinylm run -m model/ffn=gelu,swiglu seed=0,1,2      every combination, in parallel
  tinylm run --cfg job optim=muon                     print the config and train nothing
  PYTHONPATH=. TINYLM_ALLOW=mine tinylm run --config-dir my_conf model/ffn=mine      a variant of your own

`tinylm list variants` names every group and option."""

SWEEP = """Run a sweep: its arms over its seeds at a declared equal, then its verdict and report.

Runs already done are skipped, killed ones go on from their checkpoint, failed ones are tried again.

examples:
  tinylm sweep quickstart
  tinylm sweep depth_width --plan                     runs done and to do, hours, what the seeds can detect
  tinylm sweep depth_width seed=7 budget.amount=1e6   narrowed to one seed, at another budget
  tinylm sweep depth_width launcher=serial root=/data/runs
  tinylm sweep mine --config-dir my_conf              my_conf/sweeps/mine.yaml

`tinylm list sweeps` names them with their questions."""

# What every run is scored by: the first of it stands in the closing line.
USUAL = ("bits_per_byte", "test_loss", "end_of_document_bits", "documents", "bytes")
LINES = 40  # of other scores, where a run is alone


def run_command(words: list[str]) -> int:
    """``tinylm run``."""
    parser = _parser("run", RUN)
    parser.add_argument("-m", "--multirun", action="store_true", help="run every combination of a,b,c values")
    options = parser.parse_intermixed_args(words)
    flags = ["--multirun"] if options.multirun and not options.cfg else []
    outcome = _invoke(options, flags, [], words, "run")
    if options.cfg is not None:
        return 0
    from tinylm.compose import ledger
    from tinylm.compose.execute import exit_code

    where = ledger.roots({"root": outcome.root, "archives": outcome.archives})
    records = [record for key in outcome.statuses if (record := ledger.find(key, where)) is not None]
    for record in records:
        print(_closing(record, Path(outcome.root)))
    if len(records) == 1:
        print("".join(f"  {line}\n" for line in _others(records[0])), end="")
    return max((exit_code(record) for record in records), default=0)


def sweep_command(words: list[str]) -> int:
    """``tinylm sweep``."""
    parser = _parser("sweep", SWEEP, name=True)
    parser.add_argument("--plan", action="store_true", help="print what would run, its hours and power; launch nothing")
    parser.add_argument("--no-report", action="store_true", help="leave out the report at the end")
    options = parser.parse_intermixed_args(words)
    if "=" in options.name:
        raise UserError(f"tinylm sweep NAME [overrides]: {options.name!r} is an override; name the sweep first")
    first = [f"sweeps={options.name}", "hydra.mode=MULTIRUN"] + (["hydra.sweeper.plan=true"] if options.plan else [])
    outcome = _invoke(options, [], first, words, "sweep")
    if options.cfg is not None or outcome.planned_only:
        return 0
    failed = [key for key, status in outcome.statuses.items() if status not in ("done", "diverged")]
    for key in failed:
        print(_closing(RunRecord.read(Path(outcome.root) / key), Path(outcome.root)), file=sys.stderr)
    if not options.no_report and len(failed) < len(outcome.statuses):
        from tinylm.cli.report import write

        write(options.name, [outcome.root, *outcome.archives], None)
    return 1 if failed else 0


def _parser(command: str, text: str, name: bool = False) -> argparse.ArgumentParser:
    parser = Parser(f"tinylm {command}", text)
    if name:
        parser.add_argument("name", metavar="NAME", help="a file of sweeps/, without .yaml")
    parser.add_argument("overrides", nargs="*", help="group=option or key.path=value")
    parser.add_argument("--config-dir", help="a folder of configs of your own, laid out like conf/")
    parser.add_argument("--cfg", choices=["job", "hydra", "all"], help="print the composed config and stop")
    return parser


def _invoke(options: argparse.Namespace, flags: list[str], first: list[str], words: list[str], command: str) -> Outcome:
    from tinylm.compose.main import invoke

    flags += ["--config-dir", options.config_dir] if options.config_dir else []
    flags += ["--cfg", options.cfg] if options.cfg else []
    overrides = [_spelled_out(word) for word in options.overrides]
    stray = [word for word in overrides if "=" not in word and not word.startswith("~")]
    if stray:
        raise UserError(f"{stray[0]!r} is not an override; write key=value{_did_you_mean(stray[0])}")
    return invoke([*flags, *first, *overrides], command=shlex.join(["tinylm", command, *words]))


def _spelled_out(word: str) -> str:
    """``launcher=serial`` is short for ``hydra/launcher=serial``, ``launcher.workers`` for ``hydra.launcher.workers``,
    ``evaluate.tasks`` for ``evaluate.lm_eval.tasks``."""
    for short, long in (
        ("launcher=", "hydra/launcher="),
        ("launcher.", "hydra.launcher."),
        ("evaluate.tasks=", "evaluate.lm_eval.tasks="),
    ):
        if word.startswith(short):
            return long + word.removeprefix(short)
    return word


def _did_you_mean(word: str) -> str:
    hint = nearest(word, ["--plan", "--cfg", "--multirun", "--config-dir"])
    return hint if "did you mean" in hint else ""


def _closing(record: RunRecord, root: Path) -> str:
    """The last line about one run."""
    where = f"{root / record.key}"
    if record.status == "done":
        metric = record.metrics.get("bits_per_byte")
        score = f"{metric:.4f} bits per byte on test text" if metric is not None else "no score"
        total = record.accounting.get("parameters", {}).get("total", 0)
        seconds = wall_seconds(record.cost)
        spent = f"{total:,} parameters, {record.cost.get('tokens', 0):,} tokens, {seconds:,.0f} s"
        return f"{record.key}: {score}; {spent}; {where}"
    error = record.error or {}
    return f"{record.key}: {record.status}: {error.get('message', 'no message')}; {where}"


def _others(record: RunRecord) -> list[str]:
    """The scores that were asked for beside the usual ones: of domains, of benchmarks, of latency."""
    lines = score_lines({name: value for name, value in record.metrics.items() if name not in USUAL})
    more = f"... {len(lines) - LINES} more in record.json"
    return lines if len(lines) <= LINES else [*lines[:LINES], more]
