"""The stages in their order, and which of them are run where nothing else is asked."""

from __future__ import annotations

from collections.abc import Sequence

from lfkit.errors import InputError
from lfkit.refinement.stages.align import Align
from lfkit.refinement.stages.diffuse import Diffuse, DiffuseAgain
from lfkit.refinement.stages.distill import Distill
from lfkit.refinement.stages.fine_tune import FineTune
from lfkit.refinement.stages.joint import Joint
from lfkit.refinement.stages.lda import Lda
from lfkit.refinement.stages.self_training import SelfTraining
from lfkit.refinement.stages.stage import Stage
from lfkit.refinement.without_seeds import WITHOUT_SEEDS

_STAGES: tuple[type[Stage], ...] = (
    Lda,
    Align,
    SelfTraining,
    Diffuse,
    DiffuseAgain,
    FineTune,
    Distill,
    Joint,
)
STAGES: tuple[str, ...] = tuple(stage.name for stage in _STAGES)


def chosen_stages(names: Sequence[str]) -> list[Stage]:
    """Make stages by their names, in the pipeline's order."""
    unknown = [name for name in names if name not in STAGES]
    if WITHOUT_SEEDS in unknown:
        raise InputError(
            f"{WITHOUT_SEEDS!r} is no stage to be chosen: it is run by itself where "
            "there are seeds and functions that need none; leave it out."
        )
    if unknown:
        raise InputError(
            f"there is no stage {unknown[0]!r}; choose from {', '.join(STAGES)}."
        )
    return [stage() for stage in _STAGES if stage.name in names]


def cheap_stages(names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Give the names of those stages that take seconds; None: of all stages."""
    return tuple(
        stage.name
        for stage in chosen_stages(STAGES if names is None else names)
        if stage.cheap
    )
