"""The stages in their order, and which of them are run where nothing else is asked."""

from __future__ import annotations

from collections.abc import Sequence

from lfkit.errors import InputError
from lfkit.refinement.alignment import Align
from lfkit.refinement.diffusion import Diffuse, Metric
from lfkit.refinement.distillation import Distill
from lfkit.refinement.joint import Joint
from lfkit.refinement.lda import LookAtFeatures
from lfkit.refinement.stage import Stage

_STAGES: tuple[type[Stage], ...] = (
    LookAtFeatures,
    Align,
    Diffuse,
    Metric,
    Distill,
    Joint,
)
STAGES: tuple[str, ...] = tuple(stage.name for stage in _STAGES)


def chosen_stages(names: Sequence[str]) -> list[Stage]:
    """Make stages by their names, in the pipeline's order."""
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise InputError(
            f"there is no stage {unknown[0]!r}; choose from {', '.join(STAGES)}."
        )
    return [stage() for stage in _STAGES if stage.name in names]
