"""`lfkit generate`: a trained generator in, a labeled data set out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from lfkit.commands.generate_options import GenerateOptions
from lfkit.commands.generated_folder import (
    MANIFEST,
    GenerateResult,
    finished_before,
    manifest_of,
)
from lfkit.commands.requested_classes import requested_classes
from lfkit.commands.trained_generator import load_generator
from lfkit.data.files import folder_written_whole, write_atomically
from lfkit.data.progress import Progress
from lfkit.errors import InputError
from lfkit.generators import JointGenerator, Samples
from lfkit.generators.sampling import BLOCK
from lfkit.generators.training.final_check import why_broken
from lfkit.generators.writers import FORMATS, Writer
from lfkit.runs.json_text import to_json
from lfkit.runs.run import load_run


def generate(
    options: GenerateOptions, progress: Progress | None = None
) -> GenerateResult:
    """Draw labeled images from a trained generator, and write them to a new folder.

    The folder has its files when all are written: killed before, the same call begins
    anew, and ends with the same files.
    """
    if options.format not in FORMATS:
        raise InputError(
            f"there is no format {options.format!r}; choose from {', '.join(FORMATS)}."
        )
    run = load_run(options.run)
    names = run.config.class_names
    trained = load_generator(run, options.name)
    trained.bind(run, options, progress)
    classes = requested_classes(options, names, trained.generator)
    manifest = manifest_of(options, trained, names)
    before = finished_before(options.out, manifest)
    if before is not None:
        return before
    blocks = _blocks(trained.generator, options, classes, names, progress)
    shape = trained.generator.shape_
    with folder_written_whole(options.out) as folder:
        with FORMATS[options.format](folder, options.n_images, shape, names) as writer:
            counts = _write(blocks, writer)
            files = writer.finish()
        result = GenerateResult(
            images=options.n_images,
            generator=trained.name,
            out=str(options.out),
            classes=dict(zip(names, counts, strict=True)),
            broken=why_broken(trained.folder),
            files=tuple(str(options.out / name) for name in files),
        )
        text = to_json(manifest | {"written": result.to_dict()}, indent=1)
        write_atomically(folder / MANIFEST, text.encode())
    return result


def _blocks(
    generator: JointGenerator,
    options: GenerateOptions,
    classes: NDArray[np.int64] | None,
    names: Sequence[str],
    progress: Progress | None,
) -> Iterator[Samples]:
    """Draw whole blocks: how many images are asked for changes none of them."""
    n = options.n_images
    for number, start in enumerate(range(0, n, BLOCK)):
        size = min(BLOCK, n - start)
        yield generator.block(
            number,
            None if classes is None else classes[start : start + BLOCK],
            random_state=options.seed,
            min_confidence=options.min_confidence,
            class_names=names,
        ).rows(slice(size))
        if progress is not None:
            progress("generating", start + size, n)


def _write(blocks: Iterator[Samples], writer: Writer) -> list[int]:
    """Write each block while the next one is drawn; returns the classes' counts."""
    counts = np.zeros(len(writer.class_names), np.int64)
    with ThreadPoolExecutor(1, "lfkit-write") as thread:
        writing: Future[None] | None = None
        for samples in blocks:
            counts += np.bincount(samples.labels, minlength=len(counts))
            if writing is not None:
                writing.result()
            writing = thread.submit(writer.write, samples)
        if writing is not None:
            writing.result()
    return counts.tolist()
