# ---
# jupyter:
#   jupytext: {formats: "py:percent"}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Generated images
#
# A generator learns digits and their labels together, from labels that two rules and
# twenty seeds per class have made. Then: look, and score.
#
# 300 steps, a minute of one core with all that follows, show how it is done: three
# labels of four are right. Digits that look like digits take 4,000 (`n_steps`).

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lfkit.commands.apply import apply
from lfkit.commands.evaluate import evaluate
from lfkit.commands.generate import generate
from lfkit.commands.generate_options import GenerateOptions
from lfkit.commands.options import EvaluateOptions
from lfkit.commands.train import train
from lfkit.commands.train_options import TrainOptions
from lfkit.runs.apply_options import ApplyOptions

n_steps = 300
place = Path(tempfile.mkdtemp())
rules = place / "my_lfs.py"
rules.write_text("""
from lfkit import NearestMean, labeling_function
from lfkit.features.hog import hog
from lfkit.features.thumbnail import thumbnail

CLASSES = [str(digit) for digit in range(10)]


def nearest(feature, name):
    @labeling_function(
        name=name,
        classes=range(10),
        features=[feature],
        thresholds={"rule": NearestMean(feature)},
        batched=True,
        soft=True,
    )
    def vote(values, *, rule):
        return rule(values)

    return vote


LFS = [
    nearest(hog(cell=4), "strokes_run_as_in_the_class"),
    nearest(thumbnail(), "ink_lies_as_in_the_class"),
]
""")

# %% [markdown]
# ## Labels to learn from

# %%
summary = apply(
    ApplyOptions(
        data="digits", lfs=(str(rules),), seeds_per_class=20, out=place / "run"
    )
)
print(f"{summary.accuracy.of_all:.1%} of the labels are right")

# %% [markdown]
# ## Train, and make new ones
#
# As `lfkit train run --with two-stage --steps 300` and `lfkit generate run -n 100
# --balanced`. A training that fails says so in a sentence.

# %%
result = train(TrainOptions(run=place / "run", name="two-stage", steps=n_steps))
print(result.broken or "no problem found")

# %%
made = generate(
    GenerateOptions(run=place / "run", out=place / "made", n=100, balanced=True)
)
print(made.classes)

# %% [markdown]
# Ten of each class, a row per class.

# %%
table = pd.read_csv(place / "made" / "metadata.csv", dtype=str).sort_values("label")
digits = [np.asarray(Image.open(place / "made" / name)) for name in table["file_name"]]
rows = [np.hstack(digits[10 * k : 10 * k + 10]) for k in range(10)]
sheet = Image.fromarray(np.vstack(rows))
sheet.resize((480, 480), Image.Resampling.NEAREST)

# %% [markdown]
# ## Score
#
# How far the images' features lie from those of real ones (FID), and how often a
# classifier that was trained for scoring only sees the class that the label names
# (fidelity).

# %%
options = EvaluateOptions(run=place / "run", metrics=("fid", "fidelity"))
for scored in evaluate(options).scores.generated.values():
    for score in scored.scores:
        if not score.part_of:  # the classes' own
            print(f"{score.metric:45} {score.value:8.3f}")
