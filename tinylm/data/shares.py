"""How much of each domain a run reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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

    def suits(self, domains: Collection[str]) -> None:
        """Refuse what could not be read of text of these domains.

        Raises:
            UserError: a domain has no weight, a weight no domain; one is negative, or all are 0.
        """
        if self.temperature <= 0:
            raise UserError(f"data.temperature={self.temperature:g}; give a number above 0 (1: as the weights say)")
        if self.weights is None:
            return
        for name in self.weights:
            if name not in domains:
                raise UserError(f"data.weights.{name}: there is no such domain{nearest(name, domains)}")
        for name in domains:
            if name not in self.weights:
                raise UserError(f"data.weights: domain {name} has none; give it one, 0 to read nothing of it")
            if self.weights[name] < 0:
                raise UserError(f"data.weights.{name}={self.weights[name]:g} is below 0")
        if not any(self.weights.values()):
            raise UserError("data.weights: all are 0, and nothing would be read")

    def of(self, bytes_D: np.ndarray, domains: list[str]) -> np.ndarray:
        """The share of the rows that each domain has, (D,), of sum 1.

        Args:
            bytes_D: bytes of text of each domain.

        Raises:
            UserError: as `suits`; there are no domains, no text, or a share is too small.
        """
        if not domains:
            raise UserError("data: the text has no domains to mix; name them by data.parts or data.domain_field")
        self.suits(domains)
        weights = dict(zip(domains, bytes_D.tolist(), strict=True)) if self.weights is None else dict(self.weights)
        weight_D = np.array([weights[name] for name in domains], float)
        if not weight_D.sum():
            raise UserError("data: the split holds no text of any domain")
        share_D = np.where(weight_D > 0, weight_D / weight_D.sum(), 0) ** (1 / self.temperature)
        share_D = np.where(weight_D > 0, share_D, 0)
        share_D /= share_D.sum()
        for name, share, size in zip(domains, share_D, bytes_D, strict=True):
            if 0 < share < SMALLEST_SHARE:
                raise UserError(f"data.weights.{name}: a share of {share:.1e} is below {SMALLEST_SHARE:g}")
            if share and not size:
                raise UserError(f"data.weights.{name}: the train split holds no text of this domain")
        return share_D
