"""Settings of ADP, as its steps read them."""

from __future__ import annotations

from dataclasses import dataclass

from lfkit.generators.gan.config import GanConfig


@dataclass(frozen=True)
class AdpSettings:
    """The parameters of `Adp`, which documents them."""

    plan: GanConfig
    noise: str
    gate: float
    trust: bool | str
    lf_every: int
    lf_batch: int
    surrogate: bool
    surrogate_every: int
    consistency: float
    image_gradient: bool
    anchor: float
    refresh_every: int
    hold: float
    random_state: int
    device: str

    @property
    def votes_every(self) -> int:
        """Steps between two votes of the functions on generated images."""
        return self.surrogate_every if self.surrogate else self.lf_every
