"""Random initialisation that keeps the size of what passes through, each tensor from (seed, its name) alone."""

from __future__ import annotations

from tinylm.init.initialiser import Provenance, Sources
from tinylm.init.normal import draw
from tinylm.model.lm import LanguageModel
from tinylm.streams import Streams


class FanIn:
    """Normal draws at ``gain`` / sqrt(fan-in): the numbers that one output sums over. LeCun et al. 1998 (Efficient
    BackProp), section 4.6.

    The fan-in is the last axis, the token table's too: what it is as a head (as an embedding it sums over nothing).
    Constants start as their layers declare. Depth plays no part. A placement of norms may scale some draws
    (``model.gains``); in a square matrix this is then DeepNorm's and Sub-LN's Xavier start, else Xavier's spread has
    the mean of both axes for the fan-in.

    Args:
        gain: factor on every draw.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, model: LanguageModel, streams: Streams, sources: Sources) -> Provenance:
        return draw("fan_in", lambda _, tensor: self.gain / tensor.shape[-1] ** 0.5, model, streams, sources)
