"""A trained generator of a run, and the functions it may need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lfkit.commands.generate_options import GenerateOptions
from lfkit.commands.make_generator import ACTIVE
from lfkit.commands.train_options import TUNED
from lfkit.commands.training_data import fitted_functions, with_code
from lfkit.data.progress import Progress
from lfkit.errors import InputError, RunError
from lfkit.generators import GENERATORS, JointGenerator
from lfkit.generators.saved_generator import read_config
from lfkit.nn.compute import best_device
from lfkit.runs.run import Run


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator that was trained on a run, its name and its folder."""

    name: str
    folder: Path
    generator: JointGenerator

    def bind(
        self, run: Run, options: GenerateOptions, progress: Progress | None
    ) -> None:
        """Give it the run's functions, if its images need their votes.

        Raises
        ------
        InputError : confidences are asked for that nothing can give.
        """
        generator = self.generator
        is_needed = options.revote or options.min_confidence > 0
        if generator.functions == "never":
            if options.revote and generator.has_sample_confidence:
                raise InputError(
                    f"{self.name} knows no labeling functions that could vote; leave "
                    "--revote out: its images have confidences of their own."
                )
            if is_needed and not generator.has_sample_confidence:
                raise InputError(
                    f"{self.name} knows no labeling functions, so no image has a "
                    "confidence of its own; leave --revote and --min-confidence out, "
                    "or use `adp`."
                )
            return
        if not is_needed and generator.functions != "must":
            return
        run = with_code(run, options.lfs, trust_code=options.trust_code)
        lfs = fitted_functions(run, run.open_images(), progress)
        if not lfs:
            raise InputError(
                f"the votes of {run.folder} came from a file, so no function can vote "
                "on generated images; leave --revote and --min-confidence out."
            )
        generator.bind(lfs, run.votes)


def load_generator(run: Run, name: str) -> TrainedGenerator:
    """Read a generator of a run.

    Parameters
    ----------
    name : of its folder; "" = the only one. Its config says what it is, since folders
        may be renamed.
    """
    name, folder = _find(run.folder, name)
    kinds = {kind.__name__: kind for kind in GENERATORS.values()}
    kind = read_config(folder)["generator"]
    if kind not in kinds:
        raise RunError(
            f"{folder / 'config.json'} is of a generator {kind!r}, which this lfkit "
            f"does not know; it knows {', '.join(kinds)}."
        )
    generator = kinds[kind].load(folder, device=best_device())
    k = len(run.config.class_names)
    if len(generator.prior_) != k:
        raise RunError(
            f"the generator in {folder} knows {len(generator.prior_)} classes and the "
            f"run has {k}: it was trained on another run. Train it on this one."
        )
    return TrainedGenerator(name, folder, generator)


def _find(run: Path, name: str) -> tuple[str, Path]:
    """Find the generator that is asked for, or the only one there is."""
    trained = sorted(
        path.parent.name for path in (run / "models").glob("*/config.json")
    )
    known = dict.fromkeys([*GENERATORS, *trained])
    kind = name.removesuffix(ACTIVE).removesuffix(TUNED)
    if name and kind not in GENERATORS and name not in trained:
        raise InputError(
            f"there is no generator {name!r}; choose from {', '.join(known)}."
        )
    if name and name not in trained:
        begun = (run / "models" / name / "settings.json").exists()
        raise RunError(
            f"{run} has no trained {name!r}"
            + (": its training has not ended" if begun else "")
            + f"; run `lfkit {_command(name)} {run} --with {kind}{_more(name)}`."
        )
    if not trained:
        raise RunError(
            f"{run} has no trained generator; run `lfkit train {run} --with adp`."
        )
    if not name and len(trained) > 1:
        raise RunError(
            f"{run} has several generators: {', '.join(trained)}; choose one with "
            "--with."
        )
    return name or trained[0], run / "models" / (name or trained[0])


def _command(name: str) -> str:
    return "active" if name.endswith(ACTIVE) else "train"


def _more(name: str) -> str:
    return " --from SOURCE --tune image" if name.endswith(TUNED) else ""
