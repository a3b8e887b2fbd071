"""How much of the bare forward pass's speed `lfkit generate` keeps, files included.

python -m benchmarks.generation [RUN] [-n 50000]
"""

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.common import machine, markdown, timed
from lfkit.commands.apply import apply
from lfkit.commands.generate import generate
from lfkit.commands.generate_options import GenerateOptions
from lfkit.commands.train import train
from lfkit.commands.train_options import TrainOptions
from lfkit.generators import TwoStage
from lfkit.generators.gan import make_images
from lfkit.generators.sampling import BLOCK
from lfkit.runs.apply_options import ApplyOptions

FORMATS = ("npz", "parquet", "webdataset", "folder")


def main(arguments=None):
    """Print images per second, alone and with files."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", type=Path, help="with a two-stage in it")
    parser.add_argument("-n", type=int, default=50_000)
    parser.add_argument("--formats", default=",".join(FORMATS))
    options = parser.parse_args(arguments)
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or made_run(Path(folder) / "run")
        rows = compared(run, options.n, options.formats.split(","), Path(folder))
    head = ["", "seconds", "images/s", "of the forward pass"]
    print(markdown(head, rows))


def made_run(run):
    """Label digits, enlarged, and train a generator of the usual size a few steps."""
    apply(
        ApplyOptions(
            data="digits",
            out=run,
            lfs=("lf_library.digits",),
            seeds_per_class=20,
            kinds=("heuristic",),
            size=(28, 28),
            baselines=False,
            sheet=False,
        )
    )
    train(TrainOptions(run, "two-stage", steps=20, settings=("reader_steps=10",)))
    return run


def compared(run, n, formats, folder):
    """Time the bare forward pass, then the command in each format."""
    made = TwoStage.load(run / "models" / "two-stage")
    k = len(made.prior_)
    generator = torch.Generator().manual_seed(0)
    classes = torch.eye(k)[torch.arange(BLOCK) % k]

    def bare():
        for _ in range(-(-n // BLOCK)):
            z = torch.randn(BLOCK, made.plan.z_dim, generator=generator)
            make_images(made.gan_.maker, z, classes)

    bare()
    _, alone = timed(bare)
    rows = [["forward pass alone", f"{alone:.1f}", f"{n / alone:,.0f}", "100 %"]]
    for form in formats:
        options = GenerateOptions(run, folder / form, n, "two-stage", form)
        _, seconds = timed(lambda options=options: generate(options))
        share = f"{alone / seconds:.0%}".replace("%", " %")
        rows.append([form, f"{seconds:.1f}", f"{n / seconds:,.0f}", share])
    return rows


if __name__ == "__main__":
    main()
