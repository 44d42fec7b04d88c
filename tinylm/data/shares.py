"""How much of each domain a run reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinylm.errors import UserError, nearest

SMALLEST_SHARE = 1e-4  # of the rows: a block holds a row of each domain, and blocks are drawn whole


@dataclass(frozen=True)
class Shares:
    """How much of each domain is read.

    Fields:
        weights: domain -> weight, in any scale; 0 reads nothing of it. None: by their bytes of text.
        temperature: shares are raised to 1 / temperature, then brought to the sum 1: above 1 the small domains gain.
            Arivazhagan et al. 2019 (arXiv 1907.05019), section 4.1.
    """

    weights: Mapping[str, float] | None = None
    temperature: float = 1.0

    def of(self, bytes_D: np.ndarray, domains: list[str]) -> np.ndarray:
        """The share of the rows that each domain has, (D,), of sum 1.

        Args:
            bytes_D: bytes of text of each domain.

        Raises:
            UserError: a domain has no weight, a weight no domain, or one is too small.
        """
        if not domains:
            raise UserError("data: the text has no domains to mix; name them by data.parts or data.domain_field")
        if self.temperature <= 0:
            raise UserError(f"data.temperature={self.temperature:g}; give a number above 0 (1: as the weights say)")
        weights = dict(zip(domains, bytes_D.tolist(), strict=True)) if self.weights is None else dict(self.weights)
        for name in weights:
            if name not in domains:
                raise UserError(f"data.weights.{name}: there is no such domain{nearest(name, domains)}")
        for name in domains:
            if name not in weights:
                raise UserError(f"data.weights: domain {name} has none; give it one, 0 to read nothing of it")
            if weights[name] < 0:
                raise UserError(f"data.weights.{name}={weights[name]:g} is below 0")
        weight_D = np.array([weights[name] for name in domains], float)
        if not weight_D.sum():
            raise UserError("data.weights: all are 0, and nothing would be read")
        share_D = np.where(weight_D > 0, weight_D / weight_D.sum(), 0) ** (1 / self.temperature)
        share_D = np.where(weight_D > 0, share_D, 0)
        share_D /= share_D.sum()
        for name, share, size in zip(domains, share_D, bytes_D, strict=True):
            if 0 < share < SMALLEST_SHARE:
                raise UserError(f"data.weights.{name}: a share of {share:.1e} is below {SMALLEST_SHARE:g}")
            if share and not size:
                raise UserError(f"data.weights.{name}: the train split holds no text of this domain")
        return share_D
