"""How a flow is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lfkit.errors import InputError
from lfkit.generators.plan import GeneratorPlan, check_number


@dataclass(frozen=True, kw_only=True)
class FlowPlan(GeneratorPlan):
    """How a flow is trained; the defaults are for small images on a CPU.

    Attributes
    ----------
    n_steps, batch, reader_steps, precision, compile : of every `GeneratorPlan`.
    width : channels of the largest maps; the smaller ones have twice as many.
    rate : of AdamW; it rises over the first steps, and falls to 0 after `decay_from`,
        a share of the steps.
    average : decay of the moving average of the network, which is what is kept.
    unlabeled : share of the labels that are hidden, so that the network learns images
        without labels, too; guidance needs it.
    """

    rates: ClassVar[tuple[str, ...]] = ("rate",)

    width: int = 32
    rate: float = 2e-3
    decay_from: float = 0.5
    average: float = 0.998
    unlabeled: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what no training can be done with."""
        super().__post_init__()
        check_number("width", self.width, 8)
        check_number("rate", self.rate, 0, 1)
        check_number("decay_from", self.decay_from, 0, 1)
        check_number("average", self.average, 0, 0.99999)
        check_number("unlabeled", self.unlabeled, 0, 1)
        if not self.rate:
            raise InputError(
                "rate is 0: nothing would be learned. Give a number above 0, "
                f"{type(self).rate:g} as a rule."
            )
        if self.unlabeled == 1:
            raise InputError(
                "unlabeled is 1: labels would teach nothing. Set it lower."
            )
