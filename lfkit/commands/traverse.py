"""`lfkit generate --traverse`: what a continuous code of a generator does."""

from __future__ import annotations

from pathlib import Path

from lfkit.commands.generate_options import GenerateOptions
from lfkit.commands.trained_generator import load_generator
from lfkit.errors import InputError
from lfkit.generators.gan_generator import GanGenerator
from lfkit.generators.training.sample_grid import write_grid
from lfkit.runs.run import load_run


def traverse(options: GenerateOptions) -> Path:
    """Draw images that differ in one continuous code only; returns the picture."""
    assert options.traverse is not None
    run = load_run(options.run)
    generator = load_generator(run, options.name).generator
    if not isinstance(generator, GanGenerator):
        raise InputError(
            f"{type(generator).__name__} has no continuous codes; train `ss-infogan`, "
            "or another adversarial generator with --set n_codes=2."
        )
    samples = generator.traverse(options.traverse - 1, random_state=options.seed)
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"{options.out} is a file; give --out a folder.")
    path = options.out / f"code-{options.traverse}.png"
    write_grid(samples, run.config.class_names, path)
    return path
