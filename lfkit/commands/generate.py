"""`lfkit generate` in one call: a trained generator in, a labeled data set out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.commands.train import ACTIVE
from lfkit.commands.training_data import fitted_functions, read_all, with_code
from lfkit.data.files import refuse_links, sweep
from lfkit.data.labels import Labels
from lfkit.data.progress import Progress
from lfkit.data.votes import ABSTAIN
from lfkit.errors import InputError, RunError
from lfkit.runs.json_text import to_json
from lfkit.runs.reading import read_object, reading
from lfkit.runs.run import Run, load_run
from lfkit.runs.store import write_atomically

_MOST_IMAGES = 1e12
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class GenerateOptions:
    """What `lfkit generate` was asked for.

    Attributes
    ----------
    n : images.
    out : a folder.
    name : of the generator; "" = the only one that the run has.
    classes : names of those wanted; empty: all.
    shares : of `classes`; empty: equal ones if `balanced`, else those of the run.
    min_confidence : of each label, by the functions' vote on the image.
    revote : let the functions vote on every image, for its confidence.
    lfs : where the run's functions are taken from; empty: where it says itself.
    trust_code : run what the run names, whoever wrote it.
    """

    n: int
    out: Path
    name: str = ""
    format: str = "folder"
    classes: tuple[str, ...] = ()
    balanced: bool = False
    shares: tuple[float, ...] = ()
    min_confidence: float = 0.0
    revote: bool = False
    seed: int = 0
    lfs: tuple[str, ...] = ()
    trust_code: bool = False


def generate(
    run: Path, order: GenerateOptions, progress: Progress | None = None
) -> dict[str, Any]:
    """Do what `lfkit generate` does; returns what its summary says.

    What was written before the call was killed is kept: the same call goes on, and
    ends with the same files.
    """
    from lfkit.generators.generator import BLOCK
    from lfkit.generators.training.final_check import why_broken
    from lfkit.generators.writers import FORMATS

    if order.format not in FORMATS:
        raise InputError(
            f"there is no format {order.format!r}; choose from {', '.join(FORMATS)}."
        )
    if order.n < 1:
        raise InputError(f"-n is {order.n}; give the number of images, 1 or more.")
    if not 0 <= order.min_confidence < 1:
        raise InputError(
            f"--min-confidence is {order.min_confidence:g}; give a share from 0 to 1."
        )
    loaded = load_run(run)
    names = loaded.config.class_names
    name, folder = _trained(run, order.name)
    generator = _load(folder, loaded)
    _bind(generator, name, loaded, order, progress)
    wanted = _wanted(order, names, generator)
    manifest = _manifest(order, run, name, folder, names)
    finished = _finished(order, manifest)
    if finished is not None:
        return finished
    refuse_links(order.out)
    sweep(order.out)
    write_atomically(order.out / _MANIFEST, to_json(manifest, indent=1).encode())
    writer = FORMATS[order.format](order.out, order.n, generator.shape_, names)
    counts = np.zeros(len(names), np.int64)
    # A block is written while the next one is made.
    with ThreadPoolExecutor(1, "lfkit-write") as threads:
        writing: Future[None] | None = None
        for number, start in enumerate(range(0, order.n, BLOCK)):
            size = min(BLOCK, order.n - start)
            labels = writer.written(number)
            if labels is None:
                # Always a whole block: how many are asked for changes no image.
                made = generator.block(
                    number,
                    None if wanted is None else wanted[start : start + BLOCK],
                    random_state=order.seed,
                    min_confidence=order.min_confidence,
                    class_names=names,
                ).rows(slice(size))
                labels = made.labels
                if writing is not None:
                    writing.result()
                writing = threads.submit(writer.write, number, start, made)
            counts += np.bincount(labels, minlength=len(names))
            if progress is not None:
                progress("generating", start + size, order.n)
        if writing is not None:
            writing.result()
    files = writer.finish()
    summary = {
        "images": order.n,
        "generator": name,
        "out": str(order.out),
        "classes": dict(zip(names, counts.tolist(), strict=True)),
        "broken": why_broken(folder),
        "files": [str(path) for path in files],
    }
    manifest["written"] = summary
    write_atomically(order.out / _MANIFEST, to_json(manifest, indent=1).encode())
    return summary


def traverse(run: Path, name: str, code: int, out: Path, seed: int = 0) -> Path:
    """Draw what a continuous code of a trained generator does; gives the picture.

    Parameters
    ----------
    code : its number, from 1.
    """
    from lfkit.generators.gan_generator import GanGenerator
    from lfkit.generators.training.sample_grid import write_grid

    loaded = load_run(run)
    name, folder = _trained(run, name)
    generator = _load(folder, loaded)
    assert isinstance(generator, GanGenerator)
    shown = generator.traverse(code - 1, random_state=seed)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give --out a folder.")
    path = out / f"code-{code}.png"
    write_grid(shown, loaded.config.class_names, path)
    return path


def relabel(
    run: Path, name: str, progress: Progress | None = None
) -> tuple[Run, Labels]:
    """Label the run's own images by a generator that was trained on them."""
    loaded = load_run(run)
    name, folder = _trained(run, name)
    generator = _load(folder, loaded)
    before = loaded.labels
    readable = np.ones(len(before.proba), bool)

    def read() -> NDArray[np.uint8]:
        pixels, could = read_all(loaded.open_images(), progress)
        readable[:] = could
        return pixels

    found, reason = generator.relabel(read, loaded.votes, before.proba)
    if not np.isfinite(found).all():
        raise RunError(
            f"what {name} in {folder} has learned holds numbers that are not finite: "
            "it cannot label images; train it anew: `lfkit train` with --restart."
        )
    # Seeds are known, and what cannot be read is not looked at.
    proba = np.where((before.is_seed | ~readable)[:, None], before.proba, found)
    # What was left without a label, for want of precision or votes, stays so.
    unlabeled = ~proba.any(axis=1) | (before.labels == ABSTAIN)
    labels = np.where(unlabeled, ABSTAIN, proba.argmax(axis=1))
    relabeled = before.relabeled(labels, proba, held_out=None)
    return loaded, replace(relabeled, chosen=name, reason=reason)


def _trained(run: Path, name: str) -> tuple[str, Path]:
    """Find the generator that is asked for, or the only one there is."""
    from lfkit.generators import GENERATORS

    trained = sorted(
        path.parent.name for path in (run / "models").glob("*/config.json")
    )
    known = dict.fromkeys([*GENERATORS, *trained])
    if name and name.removesuffix(ACTIVE) not in GENERATORS and name not in trained:
        raise InputError(
            f"there is no generator {name!r}; choose from {', '.join(known)}."
        )
    if name and name not in trained:
        begun = (run / "models" / name / "settings.json").exists()
        raise RunError(
            f"{run} has no trained {name!r}"
            + (": its training has not ended" if begun else "")
            + f"; run `lfkit {_maker(name)} {run} --with {name.removesuffix(ACTIVE)}`."
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


def _maker(name: str) -> str:
    return "active" if name.endswith(ACTIVE) else "train"


def _load(folder: Path, loaded: Run) -> Any:
    """Read a generator by what its config says that it is: folders are renamed."""
    from lfkit.generators import GENERATORS
    from lfkit.generators.generator import read_config
    from lfkit.nn.compute import best_device

    kinds = {kind.__name__: kind for kind in GENERATORS.values()}
    kind = read_config(folder)["generator"]
    if kind not in kinds:
        raise RunError(
            f"{folder / 'config.json'} is of a generator {kind!r}, which this lfkit "
            f"does not know; it knows {', '.join(kinds)}."
        )
    made = kinds[kind].load(folder, device=best_device())
    k = len(loaded.config.class_names)
    if len(made.prior_) != k:
        raise RunError(
            f"the generator in {folder} knows {len(made.prior_)} classes and the run "
            f"has {k}: it was trained on another run. Train it on this one."
        )
    return made


def _bind(
    generator: Any,
    name: str,
    loaded: Run,
    order: GenerateOptions,
    progress: Progress | None,
) -> None:
    """Give the generator the functions, if it wants any."""
    wants = order.revote or order.min_confidence > 0
    if generator.functions == "never":
        if order.revote or (wants and not generator.has_sample_confidence):
            raise InputError(
                f"{name} knows no labeling functions, so no image has a confidence of "
                "its own; leave --revote and --min-confidence out, or use `adp`."
            )
        return
    if not wants and generator.functions != "must":
        return
    loaded = with_code(loaded, order.lfs, trust_code=order.trust_code)
    lfs = fitted_functions(loaded, loaded.open_images(), progress)
    if not lfs:
        raise InputError(
            f"the votes of {loaded.folder} came from a file, so no function can vote "
            "on generated images; leave --revote and --min-confidence out."
        )
    generator.bind(lfs, loaded.votes)


def _wanted(
    order: GenerateOptions, names: Sequence[str], generator: Any
) -> NDArray[np.int64] | None:
    """Tell which class each image is to have, to whole blocks; None: what comes."""
    from lfkit.generators.generator import BLOCK

    k = len(names)
    if not (order.classes or order.balanced or order.shares):
        if not generator.is_conditional:
            return None
        shares = generator.prior_
    else:
        unknown = [name for name in order.classes if name not in names]
        if unknown:
            raise InputError(
                f"there is no class {unknown[0]!r}; choose from {', '.join(names)}."
            )
        chosen = [names.index(name) for name in order.classes] or [
            label for label in range(k) if generator.prior_[label] > 0
        ]
        if order.shares and len(order.shares) != len(order.classes or names):
            raise InputError(
                f"--shares has {len(order.shares)} numbers for "
                f"{len(order.classes or names)} classes; give one each."
            )
        shares = np.zeros(k)
        if order.shares:
            chosen = [names.index(name) for name in order.classes or names]
            shares[chosen] = order.shares
        else:
            shares[chosen] = 1
        if not np.isfinite(shares).all() or shares.min() < 0 or shares.sum() <= 0:
            raise InputError("--shares must be numbers from 0 on, and not all 0.")
    unknowable = [
        names[label]
        for label in range(k)
        if shares[label] > 0 and generator.prior_[label] <= 0
    ]
    if unknowable:
        raise InputError(
            f"class {unknowable[0]!r} cannot be generated: no image was labeled so. "
            "Leave it out."
        )
    return evenly(shares, -(-order.n // BLOCK) * BLOCK)


def evenly(shares: ArrayLike, n: int) -> NDArray[np.int64]:
    """List n classes so that every beginning has the shares, to within one image.

    The j-th image of a class with the share p is due at (j + 1/2) / p (Webster's
    method); n changes nothing of the beginning.
    """
    known = np.asarray(shares, np.float64) / np.sum(shares)
    known[known < 1 / _MOST_IMAGES] = 0  # never due
    counts = np.where(known > 0, np.ceil(known * n) + 1, 0).astype(np.int64)
    classes = np.repeat(np.arange(len(known)), counts)
    place = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    due = (place + 0.5) / known[classes]
    # Those due at the same time come in the order of the classes.
    return classes[np.lexsort((classes, due))][:n]


def _manifest(
    order: GenerateOptions, run: Path, name: str, folder: Path, names: Sequence[str]
) -> dict[str, Any]:
    """Say where the images come from."""
    from lfkit.generators.generator import read_config
    from lfkit.runs.run_config import versions

    path = folder / "weights.safetensors"
    with reading(path, "train it anew: `lfkit train` with --restart"):
        weights = path.read_bytes()
    left_out = ("out", "lfs", "trust_code")  # which make no other images
    asked = {key: value for key, value in vars(order).items() if key not in left_out}
    return {
        "made_by": "lfkit generate",
        "run": str(run),
        "generator": name,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "config": read_config(folder),
        "asked": asked | {"name": name},
        "class_names": list(names),
        "versions": versions(),
    }


def _finished(
    order: GenerateOptions, manifest: dict[str, Any]
) -> dict[str, Any] | None:
    """Give the summary of a folder that is done; refuse one that holds other things."""
    out = order.out
    path = out / _MANIFEST
    if not path.exists():
        if out.exists() and (not out.is_dir() or any(map(_is_foreign, out.iterdir()))):
            raise RunError(
                f"{out} exists and holds something else; give --out a new folder."
            )
        return None
    known = read_object(path, "give --out a new folder")
    if not any(each.is_file() and each != path for each in out.rglob("*")):
        return None  # what was asked for failed before anything was made
    now = json.loads(to_json(manifest))
    for key, what in (
        ("asked", "other options"),
        ("weights_sha256", "another training"),
        ("versions", "other versions of libraries"),
    ):
        if known.get(key) != now[key]:
            raise RunError(
                f"{out} holds images made with {what}; give --out a new folder, or "
                "delete this one."
            )
    summary: dict[str, Any] | None = known.get("written")
    if summary is None:
        return None
    with reading(path, "give --out a new folder"):
        if not {"images", "generator", "classes"} <= summary.keys():
            raise ValueError("it does not say what was written")
        files = [out / Path(file).name for file in summary["files"]]
    for file in files:
        n_left = len(list(file.iterdir())) if file.is_dir() else order.n
        if not file.exists() or n_left < order.n:
            return None  # deleted since: they are made again
    return summary | {"out": str(out), "files": [*map(str, files)]}


def _is_foreign(path: Path) -> bool:
    """Tell what a killed `lfkit generate` cannot have left beside no manifest."""
    return not (path.name.startswith(f".{_MANIFEST}") and ".partial" in path.suffixes)
