"""All figures of a GPU in ten minutes: FOLDER/gpu.json and the same as a table, gpu.md.

    python -m benchmarks.gpu --out FOLDER               ten minutes
    python -m benchmarks.gpu --out FOLDER --minutes 5   rougher
    python -m benchmarks.gpu --out FOLDER --small       tiny sizes: does it run at all?

Nothing is downloaded: digits come with scikit-learn, other images are drawn. Each part
runs in a process of its own, since an error of a GPU spoils all that its process does
afterwards; what fails, or has no time left, is a row that says so. Without a GPU the
figures are the CPU's.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks import machines
from benchmarks.common import fit, machine, markdown
from benchmarks.on_device import OnDevice
from lf_library import digits as digits_library
from lfkit.data.datasets import open_images
from lfkit.generators import GENERATORS, TwoStage
from lfkit.generators.gan.config import GanConfig
from lfkit.nn.compute import best_device, has_bfloat16

STEPS = 40  # timed, after as many that are not
SYNC_STEPS = 8  # functions vote in one of them


@dataclass(frozen=True)
class Row:
    """One figure, or why there is none.

    Attributes
    ----------
    way : how it was computed: the device, the precision.
    value : None: `note` says why.
    """

    part: str
    what: str
    way: str
    value: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    seconds: float = 1.5  # for each figure
    votes_at_once: int = 8192
    votes_on: int = 32768
    side: int = 28
    n_images: int = 4096
    batches: tuple[int, ...] = (64, 512)
    generated: int = 10240
    steps: int = STEPS
    is_small: bool = False
    until: float = math.inf  # of `time.monotonic`


SMALL = Sizes(
    seconds=0.01, votes_at_once=64, votes_on=64, side=8, n_images=64, batches=(8,),
    generated=256, steps=2, is_small=True,
)  # fmt: skip


def of_machine(device, sizes):
    """Say what it is: a row for each fact."""
    yield Row("machine", machine(), device, None, "", f"best device: {device}")
    said = "yes" if has_bfloat16(device) else "no"
    yield Row("machine", "bfloat16 is computed", device, None, "", said)
    if device != "cpu":
        facts = torch.cuda.get_device_properties(device)
        yield Row("machine", facts.name, device, facts.total_memory / 2**30, "GiB")
        yield Row("machine", "CUDA", device, None, "", str(torch.version.cuda))


def of_votes(device, sizes):
    """Measure batched features and functions: images that are on the device already."""
    source = open_images("digits")
    chosen = [lf for lf in digits_library.LFS if lf.batched]
    if sizes.is_small:
        chosen = [lf for lf in chosen if not lf.thresholds][:3]
    lfs = fit(chosen, source)
    pixels = torch.from_numpy(source.read(np.arange(len(source))).pixels)
    pixels = pixels.permute(0, 3, 1, 2)
    pixels = pixels.repeat(-(-sizes.votes_on // len(pixels)), 1, 1, 1)[: sizes.votes_on]
    of_cpu = None
    for each in dict.fromkeys(["cpu", device]):
        block, images = OnDevice(lfs, each, batch=sizes.votes_at_once), pixels.to(each)
        what = f"{len(lfs)} functions of digits, {sizes.votes_at_once:,} at once"
        yield speed("votes", what, each, each, lambda b=block, i=images: b(i),
                    len(pixels), sizes)  # fmt: skip
        votes = block(images).cpu()
        if of_cpu is not None:
            same = float((votes == of_cpu).double().mean())
            yield Row("votes", what, each, same, "of the votes are the CPU's")
        of_cpu = votes


def of_networks(device, sizes):
    """Measure classifiers' trainings and frozen networks, in every way there is."""
    only = ["small network"]
    if not sizes.is_small:
        only += ["network stage", "EfficientNet"]
    found = machines.measure(
        device, budget=sizes.seconds, quick=True, only=only, say=lambda text: None
    )
    for figure in found:
        order = "channels last" if figure.way.channels_last else "channels first"
        default = "what lfkit takes" if figure.is_default else ""
        way = f"{device}, {figure.way.precision}, {order}"
        n_images, what = figure.n_images, figure.what
        if not n_images:  # a step of a training
            n_images, what = batch_of(what), f"training of the {what}"
        yield Row("networks", what, way, n_images / figure.seconds, "images/s", default)


def batch_of(what):
    """Give the images of a step of one of the trainings of `machines`."""
    plan = machines.TrainingPlan() if what == "small network" else machines.FINE_TUNING
    return min(plan.batch + plan.seed_batch, machines.N_IMAGES)


def of_generators(device, sizes):
    """Measure a step on pairs of every generator, as it comes and in other ways."""
    batch = sizes.batches[0]
    for name in GENERATORS:
        yield from steps_of(name, device, sizes, batch=batch)
    if device != "cpu":
        for name in GENERATORS:
            yield from steps_of(name, device, sizes, batch=batch, precision="float32")
    for batch in sizes.batches[1:]:
        yield from steps_of("two-stage", device, sizes, batch=batch)
    if not sizes.is_small:
        yield from steps_of("two-stage", device, sizes, batch=batch, compile=True)


def steps_of(name, device, sizes, **settings):
    """Give steps a second of a generator, its waits for the device, and its memory."""
    way = ", ".join([device, *(f"{key} {value}" for key, value in settings.items())])
    try:
        made = GENERATORS[name](device=device)
        changed = dict(settings)
        if isinstance(made.plan, GanConfig):
            changed["unconditional_fraction"] = 0.0
        if sizes.is_small:
            changed["width"] = 24
        made.set_params(plan=replace(made.plan, **changed))
        step = machines.step_of(made, sizes.n_images, sizes.side)
        for _ in range(sizes.steps):
            step()
        waited(device)
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        for _ in range(sizes.steps):
            step()
        waited(device)
        per_second = sizes.steps / (time.perf_counter() - started)
        yield Row("generators", name, way, per_second, "steps/s")
        if device != "cpu":
            peak = torch.cuda.max_memory_allocated() / 2**20
            yield Row("generators", name, way, peak, "MiB at most")
            yield Row("generators", name, way, waits_of(step), "waits a step")
    except Exception as error:  # another generator may well train
        yield Row("generators", name, way, None, "steps/s", reason(error))


def waits_of(step):
    """Count how often the host waits for the GPU in a step, by torch's own word."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in range(SYNC_STEPS):
                step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(each.message) for each in noted) / SYNC_STEPS


def of_refine(device, sizes):
    """Label digits from end to end by the command, on the CPU and on the GPU."""
    labels = {}
    refined = () if sizes.is_small else ("--seeds-per-class", "20", "--refine")
    for each in dict.fromkeys([device, "cpu"]):
        with tempfile.TemporaryDirectory() as folder:
            seconds, labels[each] = applied(Path(folder), each, sizes, *refined)
        what = " ".join(["lfkit apply", *refined])
        yield Row("refine", what, each, seconds, "seconds")
    if len(labels) == 2:
        same = float(np.mean(labels["cpu"] == labels[device]))
        yield Row("refine", what, device, same, "of the labels are the CPU's")


def applied(folder, device, sizes, *refined):
    """Run `lfkit apply` in a process that sees the GPU, or not: seconds and labels."""
    import pyarrow.parquet as parquet

    data, lfs = "digits", "lf_library.digits"
    if sizes.is_small:
        data, lfs = str(folder / "few.npz"), str(folder / "lfs.py")
        np.savez(data, images=machines.drawn(24, sizes.side)[0])
        Path(lfs).write_text(_FEW_LFS)
    asked = [data, "--lfs", lfs, "--no-baselines", "--no-sheet", "--json", *refined]
    unseen = {} if device != "cpu" else {"CUDA_VISIBLE_DEVICES": ""}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lfkit", "apply", *asked, "--out", folder / "run"],
        env=os.environ | unseen, capture_output=True, text=True, check=False,
        timeout=min(max(1, sizes.until - time.monotonic()), 3600),
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-300:])
    table = parquet.read_table(folder / "run" / "labels.parquet")
    return seconds, np.asarray(table["label"].to_pylist(), object)


_FEW_LFS = """from lfkit import labeling_function


@labeling_function(classes=[0, 1])
def says_light(image):
    return int(image.mean() > 127)
"""


def of_generating(device, sizes):
    """Make images of a generator of the usual size, which has hardly been trained."""
    images, labels = machines.drawn(256, sizes.side)
    proba = np.eye(machines.N_CLASSES)[labels]
    votes = machines.Votes(labels[:, None], ("truth",), machines.N_CLASSES)
    for each in dict.fromkeys(["cpu", device]):
        plan = GanConfig(n_steps=20, unconditional_fraction=0.0, reader_steps=10)
        made = TwoStage(plan, device=each)
        made.fit(images, votes, proba=proba, say=lambda text: None)
        yield speed("generating", "two-stage", each, each,
                    lambda made=made: made.sample(sizes.generated),
                    sizes.generated, sizes)  # fmt: skip


PARTS = {  # shares of the time
    "machine": (of_machine, 1),
    "votes": (of_votes, 4),
    "networks": (of_networks, 6),
    "generators": (of_generators, 10),
    "refine": (of_refine, 6),
    "generating": (of_generating, 2),
}


def speed(part, what, way, device, call, n_images, sizes):
    """Time a call on so many images."""
    seconds = machines.seconds_of(call, device, sizes.seconds)
    return Row(part, what, way, n_images / seconds, "images/s")


def waited(device):
    """Let the device finish."""
    if device != "cpu":
        torch.cuda.synchronize()


def reason(error):
    """Give an error in a few words."""
    return f"{type(error).__name__}: {str(error).strip()[:200]}"


def measured(name, device, sizes, until):
    """Give the rows of a part up to a time; what is wrong with it is a row, too."""
    try:
        for row in PARTS[name][0](device, replace(sizes, until=until)):
            yield row
            if time.monotonic() > until:
                yield Row(name, "the rest", device, None, "", "no time was left")
                break
        if device != "cpu":
            peak = torch.cuda.max_memory_allocated() / 2**20
            yield Row(name, "memory of all its last work", device, peak, "MiB at most")
    except Exception as error:  # the other parts go on
        yield Row(name, "all or the rest", device, None, "", reason(error))


def in_a_process(name, out, seconds):
    """Measure a part in a process of its own, and stop that when its time is over."""
    path = out / f"{name}.jsonl"
    path.unlink(missing_ok=True)
    own = max(seconds - 15, seconds / 2)  # it starts slowly, and ends its last figure
    asked = ["--out", out, "--part", name, "--minutes", own / 60]
    command = [sys.executable, "-m", "benchmarks.gpu", *map(str, asked)]
    why = ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False
        )
        if done.returncode:
            why = f"its process ended with {done.returncode}: {done.stderr[-200:]}"
    except subprocess.TimeoutExpired:
        why = "its process was stopped, its time was over"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    rows = [Row(**json.loads(line)) for line in lines]
    return [*rows, Row(name, "the rest", "", None, "", why)] if why else rows


def table(rows):
    """Write rows as Markdown."""
    shown = [
        (r.what, r.way, "" if r.value is None else f"{r.value:,.4g}", r.unit, r.note)
        for r in rows
    ]
    titles = ["what", "how", "", "unit", "note"]
    parts = itertools.groupby(zip(rows, shown, strict=True), lambda pair: pair[0].part)
    return "\n".join(
        f"## {part}\n\n{markdown(titles, [cells for _, cells in pairs])}"
        for part, pairs in parts
    )


def main(arguments=None):
    """Measure every part, and write what was found after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--small", action="store_true", help="tiny, in this process")
    parser.add_argument("--part", choices=PARTS, help="one part: rows only")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    device, started = best_device(), time.monotonic()
    until = started + 60 * asked.minutes
    if asked.part:
        with (asked.out / f"{asked.part}.jsonl").open("a") as file:
            for row in measured(asked.part, device, Sizes(), until):
                print(json.dumps(asdict(row)), file=file, flush=True)
        return
    rows, shares = [], [share for _, share in PARTS.values()]
    for number, name in enumerate(PARTS):
        left = until - time.monotonic()
        seconds = left * shares[number] / sum(shares[number:])
        print(f"{name}: {seconds:.0f} s at most …", file=sys.stderr, flush=True)
        if asked.small:
            rows += measured(name, device, SMALL, time.monotonic() + seconds)
        else:
            rows += in_a_process(name, asked.out, seconds)
        written(asked.out, rows, time.monotonic() - started)
    print(table(rows))


def written(out, rows, seconds):
    """Write both files."""
    found = {"seconds": round(seconds, 1), "rows": [asdict(row) for row in rows]}
    (out / "gpu.json").write_text(json.dumps(found, indent=1))
    (out / "gpu.md").write_text(f"{machine()}, {seconds:.0f} s\n\n{table(rows)}")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
