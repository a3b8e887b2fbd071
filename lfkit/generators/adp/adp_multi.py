"""Adversarial Data Programming in two domains at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.errors import InputError
from lfkit.generators.adp.adp import Adp
from lfkit.generators.adp.domain_pair import DomainPair
from lfkit.generators.adp.settings import AdpSettings
from lfkit.generators.samples import Samples
from lfkit.generators.training_set import Progress, TrainingSet


class AdpMulti(Adp):
    """Makes an image of each of two domains, and one label for both.

    One noise vector and one common block, an image branch and a discriminator for each
    domain (section 5, figure 7 of the paper); all else is `Adp` twice. What is ours:
    `hold`, the price of an image of the second domain without the structure of the
    first one's; 0 is the paper's form. What is learned
    of functions and real images is of the first domain; `second_` is the `Adp` of the
    second one, whose images and labels it can be asked for by itself.

    Attributes
    ----------
    second_ : the fitted `Adp` of the second domain; the common blocks are equal.
    """

    paper = "ADP in two domains (Pal & Balasubramanian 2018)"
    needs = "two runs of the same classes"
    gives = "pairs of images with one label"
    label_modes: ClassVar[tuple[str, ...]] = ("condition",)
    is_tunable: ClassVar[bool] = False
    n_domains: ClassVar[Literal[1, 2]] = 2

    second_: Adp

    @property
    def shape_2(self) -> tuple[int, int, int] | None:
        """(h, w, c) of the images of the second domain."""
        return self.second_.shape_

    def faults(self) -> Mapping[str, tuple[int, str]]:
        """Give function → generated images on which it failed, of both domains."""
        found = dict(super().faults())
        for name, (n, why) in self.second_.faults().items():
            before, first = found.get(name, (0, why))
            found[name] = before + n, first
        return found

    def _check_settings(self, has_functions: bool) -> None:
        super()._check_settings(has_functions)
        self._check_common("both domains share")
        if self.hold and self.plan.draw_factor > 1:
            raise InputError(
                f"draw_factor is {self.plan.draw_factor}, and of each domain other "
                "images would be kept: none would have a twin to be compared with. "
                "Set hold=0, or draw_factor=1."
            )

    def _begin(self, task: TrainingSet) -> Any:
        return DomainPair(task, AdpSettings(**self.get_params(deep=False)))

    def _finish(
        self, trained: Any, task: TrainingSet, progress: Progress | None
    ) -> None:
        assert task.second is not None
        super()._finish(trained.first, replace(task, second=None), progress)
        second = self._unfitted_second()
        second.prior_ = task.prior
        second._finish(trained.second, task.second, progress)
        second.shape_ = task.second.shape
        self.second_ = second

    def _what_is_broken(self, task: TrainingSet) -> str | None:
        assert task.second is not None
        return super()._what_is_broken(task) or self.second_._what_is_broken(
            task.second
        )

    def _draw_second(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> torch.Tensor | None:
        return self.second_.gan_.draw(classes, generator)[0]

    def _preview(self, trained: Any, task: TrainingSet, step: int) -> Samples:
        assert task.second is not None
        first = super()._preview(trained.first, task, step)
        second = super()._preview(trained.second, task.second, step)
        return replace(first, images_2=second.images)

    def _unfitted_second(self) -> Adp:
        return Adp(**self.get_params(deep=False))

    def _modules(self) -> Mapping[str, torch.nn.Module]:
        others = self.second_._modules()
        return {
            **super()._modules(),
            **{f"second_{name}": module for name, module in others.items()},
        }

    def _settings(self) -> dict[str, Any]:
        second = self.second_._settings() | {"shape": list(self.second_.shape_)}
        return super()._settings() | {"second": second}

    def _restore(self, settings: Mapping[str, Any]) -> None:
        super()._restore(settings)
        second = self._unfitted_second()
        h, w, c = map(int, settings["second"]["shape"])
        second.shape_, second.prior_ = (h, w, c), self.prior_
        second._restore(settings["second"])
        self.second_ = second
