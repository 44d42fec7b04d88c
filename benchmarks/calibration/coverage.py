"""How often the engine's intervals hold the true difference, whatever shape the seeds' spread has."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.calibration.errors import Count
from tinylm.report.statistics.difference import Difference, paired, unpaired
from tinylm.report.statistics.documents import text_error

TRUTH = -0.3  # standard deviations of one arm
SIZES = (3, 5, 10)
DOCUMENTS = 120
TEXT = 3.0  # standard deviation of a document's own difference: its mean over the documents then has 0.27
STRETCHES, ALIKE = 32, 15  # of passages that share theirs

Draw = Callable[[np.random.Generator, int], np.ndarray]


def _heavy(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_t(3, n) / np.sqrt(3)


def _skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.exponential(1.0, n) - 1


def _normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(0, 1, n)


def _still(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(0, 0.05, n)


# name -> noise of the variant's seeds, and of its opponent's; each of mean 0 and standard deviation 1
SHAPES: dict[str, tuple[Draw, Draw]] = {
    "normal": (_normal, _normal),
    "heavy tails (Student's t, 3 df)": (_heavy, _heavy),
    "skewed in both arms (exponential)": (_skewed, _skewed),
    "skewed in one arm, the other still": (_skewed, _still),
}


@dataclass(frozen=True)
class Covered:
    """A method's coverage over a shape of spread and a number of seeds."""

    method: str
    shape: str
    n: int
    count: Count


def coverage(rounds: int, slow_rounds: int, seed: int = 0) -> Iterator[Covered]:
    """Every method over every shape and number of seeds, at a nominal 95%.

    Args:
        rounds: draws for Student's and Welch's t; ``slow_rounds``: for what draws itself.
    """
    for place, (shape, arms) in enumerate(SHAPES.items()):
        for n in SIZES:
            rng = np.random.default_rng([seed, place, n])
            hits = dict.fromkeys(METHODS, 0)
            for index in range(rounds):
                for method, interval in METHODS.items():
                    if method in SLOW and index >= slow_rounds:
                        continue
                    low, high = interval(arms, n, rng)
                    hits[method] += low <= TRUTH <= high
            for method, hit in hits.items():
                of = slow_rounds if method in SLOW else rounds
                yield Covered(method, shape, n, Count(f"{method}, {shape}, n = {n}", hit, of, 0.95))


def _seeds(arms: tuple[Draw, Draw], n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return TRUTH + arms[0](rng, n), arms[1](rng, n)


def _interval(difference: Difference | None) -> tuple[float, float]:
    found = None if difference is None else difference.interval(0.05)
    assert found is not None
    return found


def _paired(arms: tuple[Draw, Draw], n: int, rng: np.random.Generator) -> tuple[float, float]:
    a, b = _seeds(arms, n, rng)
    return _interval(paired(dict(enumerate(a)), dict(enumerate(b))))


def _welch(arms: tuple[Draw, Draw], n: int, rng: np.random.Generator) -> tuple[float, float]:
    a, b = _seeds(arms, n, rng)
    return _interval(unpaired(list(a), list(b)))


def _bootstrap(arms: tuple[Draw, Draw], n: int, rng: np.random.Generator) -> tuple[float, float]:
    """The bias-corrected bootstrap of the pairs: the engine shows it from 20 pairs on, and never decides by it."""
    a, b = _seeds(arms, n, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = stats.bootstrap((a - b,), np.mean, n_resamples=999, rng=rng).confidence_interval
    return float(found.low), float(found.high)


def _crossed(arms: tuple[Draw, Draw], n: int, rng: np.random.Generator) -> np.ndarray:
    """Differences by seed and document, each with noise of its own besides."""
    a, b = _seeds(arms, n, rng)
    text_D, own_ND = rng.normal(0, TEXT, DOCUMENTS), rng.normal(0, 1, (n, DOCUMENTS))
    return (a - b)[:, None] + text_D + own_ND


def _seeds_and_documents(arms: tuple[Draw, Draw], n: int, rng: np.random.Generator) -> tuple[float, float]:
    """The engine's: Student's t over seeds and a bootstrap over documents, added by squares."""
    return _added(_crossed(arms, n, rng))


def _seeds_and_passages(arms: tuple[Draw, Draw], n: int, rng: np.random.Generator) -> tuple[float, float]:
    """The same where neighbouring passages are alike."""
    a, b = _seeds(arms, n, rng)
    text_D = np.repeat(rng.normal(0, TEXT / 2, STRETCHES), ALIKE)
    return _added((a - b)[:, None] + text_D + rng.normal(0, 1, (n, len(text_D))))


def _added(values_ND: np.ndarray) -> tuple[float, float]:
    difference = paired(dict(enumerate(values_ND.mean(1))), dict.fromkeys(range(len(values_ND)), 0.0))
    assert difference is not None
    low, high = _interval(difference)
    half = np.hypot((high - low) / 2, 1.96 * text_error(values_ND.mean(0), np.ones(values_ND.shape[1])))
    return difference.mean - half, difference.mean + half


def _seeds_alone(arms: tuple[Draw, Draw], n: int, rng: np.random.Generator) -> tuple[float, float]:
    """Student's t over seeds where the text counts too."""
    values_N = _crossed(arms, n, rng).mean(1)
    return _interval(paired(dict(enumerate(values_N)), dict.fromkeys(range(n), 0.0)))


def _pigeonhole(arms: tuple[Draw, Draw], n: int, rng: np.random.Generator) -> tuple[float, float]:
    """Seeds and documents both redrawn (Owen 2007, arXiv:0712.1111); not used by the engine."""
    values_ND = _crossed(arms, n, rng)
    seeds_BN = rng.multinomial(n, np.full(n, 1 / n), 999) / n
    documents_BD = rng.multinomial(DOCUMENTS, np.full(DOCUMENTS, 1 / DOCUMENTS), 999) / DOCUMENTS
    low, high = np.quantile(((seeds_BN @ values_ND) * documents_BD).sum(1), [0.025, 0.975])
    return float(low), float(high)


METHODS: dict[str, Callable[[tuple[Draw, Draw], int, np.random.Generator], tuple[float, float]]] = {
    "paired t": _paired,
    "Welch t": _welch,
    "seeds and documents": _seeds_and_documents,
    "seeds and passages, alike in stretches of 15": _seeds_and_passages,
    "(bootstrap of pairs)": _bootstrap,
    "(seeds alone, other text)": _seeds_alone,
    "(seeds and documents redrawn)": _pigeonhole,
}
SLOW = (
    "seeds and documents",
    "seeds and passages, alike in stretches of 15",
    "(bootstrap of pairs)",
    "(seeds and documents redrawn)",
)
