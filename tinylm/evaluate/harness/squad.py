"""Exact match and F1 of answers in words, where lm-eval looks for them in vain."""

from __future__ import annotations

import re
import string
import sys
from collections import Counter
from importlib.util import find_spec
from types import ModuleType

HOME = "transformers.data.metrics"  # up to transformers 4; lm-eval 0.4.13 imports it for CoQA, ReCoRD and others


def provide() -> None:
    """Stand in for ``transformers.data.metrics.squad_metrics``, where transformers is installed and has none."""
    if HOME in sys.modules or find_spec("transformers") is None or find_spec(HOME) is not None:
        return
    package, module = ModuleType(HOME), ModuleType(f"{HOME}.squad_metrics")
    vars(module).update(compute_exact=compute_exact, compute_f1=compute_f1)
    vars(package).update(squad_metrics=module)
    sys.modules |= {HOME: package, module.__name__: module}
    vars(sys.modules["transformers.data"])["metrics"] = package


def compute_exact(gold: str, predicted: str) -> int:
    """1 where both have the same words, else 0. Rajpurkar et al. 2016 (arXiv 1606.05250), section 6.1."""
    return int(_words(gold) == _words(predicted))


def compute_f1(gold: str, predicted: str) -> float:
    """Harmonic mean of precision and recall of the words, as bags; of an empty answer, whether both are empty.

    Rajpurkar et al. 2016 (arXiv 1606.05250), section 6.1; 2018 (arXiv 1806.03822) for empty answers.
    """
    wanted, found = _words(gold), _words(predicted)
    if not wanted or not found:
        return float(wanted == found)
    common = (Counter(wanted) & Counter(found)).total()
    return 2 * common / (len(wanted) + len(found))


def _words(text: str) -> list[str]:
    """Lower-case words without punctuation and articles."""
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()
