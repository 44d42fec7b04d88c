"""Drafts of what a user adds: a claim, or a variant begun as a copy of one that works. They run as they are written."""

from __future__ import annotations

import ast
import importlib.util
import keyword
import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import yaml

from tinylm.compose.catalogue import sweeps, variants
from tinylm.compose.root import config_root
from tinylm.errors import UserError, nearest
from tinylm.files import write_text

NAME = re.compile(r"[a-z][a-z0-9_]*")
PARTS, CONF = "my_parts", "my_conf"  # of a user outside a checkout

CLAIM = """# @package _global_
# TODO: in a line, what this sweep is for. Plan it: tinylm sweep {name}{own} --plan; run it: tinylm sweep {name}{own}
claim:
  question: TODO does gelu lose to swiglu? # one sentence that ends in a question mark
  source: "TODO Author et al. 2020, arXiv:2002.05202, table 1" # where the expectation comes from
  factor: [model/ffn] # config keys that may differ between arms, model/ffn with all below it; nothing else may
  # derived: [shape] # keys that follow from the factor: they may differ, and the report marks them
  baseline: plain # what the other arms are compared with
  arms: # name -> overrides of the command line (`tinylm list variants` names the options)
    plain: {{overrides: [model/ffn=gelu], label: gelu}}
    other:
      overrides: [model/ffn=swiglu]
      expect: better # or worse, equivalent; leave it out where nothing is expected
      label: swiglu
      claim: TODO swiglu beats gelu # the expectation in words
  equal: parameters # what arms share: or body_parameters, active_parameters, flops, bytes, tokens, seconds, exposures
  tolerance: 0.01 # relative miss of it that is allowed
  metric: bits_per_byte
  direction: lower # is better
  delta: 0.01 # the smallest effect worth having; equivalence is shown against it
  seeds: [0, 1, 2] # the seeds that decide; the plan says what they can show. Seeds added later count apart
  # tune: # what is chosen for every arm alike first, on seeds that no verdict sees
  #   params: {{optim.lr: [0.001, 0.002, 0.004]}}
  #   seeds: [100]
  # alpha: 0.05 # what all comparisons share
  # errors: family # (Holm), or discoveries (Benjamini-Hochberg)
  # stop: {{after: [3]}} # looks, in seeds: an arm for which a gain of delta is excluded runs no further ones
  # sizes: {{0.3m: [shape=0.3m], 1m: [shape=1m]}} # every arm at each of them: how does the effect go with size?
  # sample: {{number: 30, ranges: {{shape.depth: {{low: 2, high: 12, kind: int}}}}}} # arms drawn at random
  # estimates: # quantities with a region where they are expected (docs/evidence.md has their kinds)
  #   gap: {{kind: difference, metric: bits_per_byte, arm: other, against: plain, region: [null, 0.0]}}
  # reported: of an arm, the gain that its source has; reported_unit: in which unit
  cost: TODO what it takes # in words, for readers
defaults: # what all arms share
  - override /shape: 0.3m
  - _self_
data:
  limit_bytes: 3000000
tokenizer:
  vocab: 1024
batch:
  size: 8
  context: 128
budget:
  amount: 1500000 # tokens
"""

YAML = """# TODO: what it is, in a line; beside each value its unit and what others there are.
{lines}"""

TEST = '''"""What {name} promises beyond what every option of {group} keeps to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinylm.cli.main import dispatch

SMALL = ["shape=smoke", "budget=steps", "budget.amount=6", "compile=false", "score_every=1", "batch.size=2"]
SMALL += ["batch.context=32", "tokenizer.vocab=300", "data.tune=0.2", "data.test=0.2"]
{files}

def test_it_trains_and_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
{before}    monkeypatch.chdir(tmp_path)
{text}    assert dispatch(["run", {words}, *SMALL]) == 0


# TODO: one identity that only a right {name} keeps: the values of its options at which it is another variant, what it
# leaves alone, or a number of the paper.
'''

TEXT = """    lines = [f"day {{day}} has {{day * 37 % 101}} hours and {{day * 53 % 97}} friends" for day in range(200)]
    Path("text.txt").write_text("\\n".join(lines), encoding="utf-8")
"""
FILES = 'SMALL += ["data=files", "data.paths=[text.txt]", "data.document=line"]\n'

_VALUES = {"true", "false", "null", "nan", "inf"}  # of Hydra's grammar
OWN = """    home = Path(__file__).resolve().parents[1]
    monkeypatch.setenv("TINYLM_ALLOW", "{parts}")
    monkeypatch.setenv("PYTHONPATH", str(home), prepend=":")
    monkeypatch.syspath_prepend(str(home))
"""


@dataclass(frozen=True)
class Place:
    """Where drafts go: into a checkout of tinylm, or into folders of a user's own.

    Fields:
        home: the folder that holds them all.
        checkout: whether ``home`` is a checkout.
    """

    home: Path
    checkout: bool

    @classmethod
    def of(cls, home: Path) -> Place:
        """A checkout is known by its configs beside its package."""
        return cls(home, (home / "conf" / "config.yaml").is_file() and (home / "tinylm").is_dir())

    @property
    def conf(self) -> Path:
        """The folder of config groups."""
        return self.home / ("conf" if self.checkout else CONF)


def claim(name: str, home: Path) -> list[Path]:
    """Write ``sweeps/<name>.yaml``, which composes and runs as it is; the files written.

    Raises:
        UserError: there is a sweep of that name, or it is no name.
    """
    place = Place.of(home)
    _named(name, sweeps())
    path = (home if place.checkout else place.conf) / "sweeps" / f"{name}.yaml"
    return _written({path: CLAIM.format(name=name, own="" if place.checkout else f" --config-dir {CONF}")})


def variant(where: str, home: Path, like: str | None = None) -> list[Path]:
    """Write a class, its YAML and a test for option ``<group>/<name>``; the files written.

    Args:
        where: such as ``model/ffn/mine``.
        like: the option that it begins as a copy of; None: the group's shortest.

    Raises:
        UserError: there is no such group, it has the option already, or its options have no class of their own.
    """
    group, _, name = where.rpartition("/")
    groups = variants()
    if group not in groups:
        raise UserError(f"{where}: there is no group {group!r}{nearest(group, groups)}; write GROUP/NAME")
    _named(name, groups[group].split(", "))
    if keyword.iskeyword(name) or keyword.iskeyword(_class_name(name)):
        raise UserError(f"{name!r} is a word of Python, which cannot name a module and a class; take another")
    found = {option: node for option in groups[group].split(", ") if (node := _own_class(group, option)) is not None}
    if not found:
        raise UserError(
            f"{where}: options of {group} have no classes of their own; copy a file of conf/{group}/ instead"
        )
    if like is not None and like not in found:
        raise UserError(f"--like {like}: {group} has no such option with a class of its own{nearest(like, found)}")
    begun = like or min(found, key=lambda option: len(found[option][1].read_text(encoding="utf-8")))
    target, source = found[begun]
    module, old = target.rsplit(".", 1)
    new = _class_name(name)
    place = Place.of(home)
    package = module.rpartition(".")[0] if place.checkout else PARTS
    lines = (config_root() / group / f"{begun}.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = "".join(line for line in lines if not line.startswith("#"))
    words = ", ".join(_words(group, name, place))
    files = {
        home.joinpath(*package.split("."), f"{name}.py"): _class(source, old, new, target),
        place.conf / group / f"{name}.yaml": YAML.format(lines=kept.replace(target, f"{package}.{name}.{new}")),
        home / "tests" / f"test_{name}.py": TEST.format(
            name=name,
            group=group,
            words=words,
            before="" if place.checkout else OWN.format(parts=PARTS),
            files="" if group == "data" else FILES,
            text="" if group == "data" else TEXT.format(),
        ),
    }
    return _written(files)


def _words(group: str, name: str, place: Place) -> list[str]:
    """What the command line says to try the draft, as the test spells it."""
    own = [] if place.checkout else ['"--config-dir"', f'str(home / "{CONF}")']
    rounds = ['"rounds=selected"'] if group == "rounds/selection" else []
    return [*own, *rounds, f'"{group}={name}"']


def _own_class(group: str, option: str) -> tuple[str, Path] | None:
    """The class that an option names, and its file, where that is the option's alone."""
    path = config_root() / group / f"{option}.yaml"
    node = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    target = node.get("_target_") if isinstance(node, dict) else None
    if not isinstance(target, str) or target.split(".")[-2] != option:
        return None
    spec = importlib.util.find_spec(target.rpartition(".")[0])
    return None if spec is None or spec.origin is None else (target, Path(spec.origin))


def _class(source: Path, old: str, new: str, target: str) -> str:
    """The file's code with the class under its new name; what it is and where it comes from is left to say."""
    text = source.read_text(encoding="utf-8")
    tree = ast.parse(text)
    (kept,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == old]
    told = ast.get_docstring(kept) or ""
    arguments = told[told.index("Args:") :] if "Args:" in told else ""
    docstring = [
        '    """TODO: its formula; where it comes from (author, year, arXiv id, equation), or that it is your own.',
        "",
        f"    Begun as a copy of `{target}`.",
        *(["", *(f"    {line}".rstrip() for line in arguments.splitlines())] if arguments else []),
        '    """',
    ]
    lines = text.splitlines()
    for item in kept.body:  # `activation` says that two classes are one function, which a copy is not for long
        if isinstance(item, ast.FunctionDef) and item.name == "activation":
            del lines[item.decorator_list[0].lineno - 1 : (item.end_lineno or item.lineno) + 1]
    for node, instead in ((kept.body[0], docstring), (tree.body[0], ['"""TODO: what it is, in a line."""'])):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines[node.lineno - 1 : node.end_lineno] = instead
    return re.sub(rf"(?<![\w.]){old}\b", new, "\n".join(lines)).replace(f".{new}`", f".{old}`") + "\n"


def _named(name: str, known: Container[str]) -> None:
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name for a file of ours: small letters, digits and _, such as my_variant")
    if name in _VALUES:
        raise UserError(f"{name!r} is a value on a command line, and names nothing there; take another")
    if name in known:
        raise UserError(f"{name}: there is one of that name; take another")


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _written(files: dict[Path, str]) -> list[Path]:
    there = [path for path in files if path.exists()]
    if there:
        raise UserError(f"{there[0]} is there already; nothing was written")
    for path, text in files.items():
        write_text(path, text)
    return list(files)
