# ---
# jupyter:
#   jupytext: {formats: "py:percent"}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Your own photographs
#
# Rules, forty labels, and a look at what is still wrong. Put the path of your folder
# into `photos`, and of your labels (a CSV with `image_id` and `label`) into
# `my_labels`; without them, 300 pieces of the two photographs that come with
# scikit-learn are cut.

# %%
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_sample_images

import lfkit
from lfkit.commands.apply import apply
from lfkit.runs.apply_options import ApplyOptions

place = Path(tempfile.mkdtemp())
photos, my_labels = place / "photos", place / "my_labels.csv"

pictures = load_sample_images().images  # a temple, a flower
rng = np.random.default_rng(0)
photos.mkdir()
rows = []
for number in range(300):
    which = int(rng.integers(2))
    top, left = rng.integers(0, 427 - 96), rng.integers(0, 640 - 96)
    part = pictures[which][top : top + 96, left : left + 96]
    Image.fromarray(part).save(photos / f"{number:03}.png")
    rows.append((f"{number:03}.png", ("temple", "flower")[which]))
truth = pd.DataFrame(rows, columns=["image_id", "label"])
truth[:40].to_csv(my_labels, index=False)

# %% [markdown]
# ## Rules
#
# A file, since a run keeps votes until the file changes. The last rule learns from the
# labels; the first two are what you see.

# %%
rules = place / "my_lfs.py"
rules.write_text("""
from lfkit import ABSTAIN, NearestMean, feature, labeling_function
from lfkit.features.color import color_moments

CLASSES = ["flower", "temple"]


@feature
def color(image):
    return image.mean(axis=(0, 1))


@labeling_function(classes=[0], features=[color])
def orange_is_flower(color):
    red, green, blue = color
    return 0 if red > green + 40 and red > blue + 40 else ABSTAIN


@labeling_function(classes=[1], features=[color])
def bright_sky_is_temple(color):
    return 1 if color.min() > 150 else ABSTAIN


@labeling_function(
    classes=[0, 1],
    features=[color_moments],
    thresholds={"rule": NearestMean(color_moments)},
    batched=True,
    soft=True,
)
def colors_are_those_of_the_class(values, *, rule):
    return rule(values)
""")

# %% [markdown]
# ## Labels
#
# The same as `lfkit apply photos --lfs my_lfs.py --size 64 --color rgb --seed-labels
# my_labels.csv --out run` in a terminal.

# %%
options = ApplyOptions(
    data=str(photos),
    lfs=(str(rules),),
    size=(64, 64),
    color="rgb",
    seed_labels=my_labels,
    out=place / "run",
)
summary = apply(options)
print(f"{summary.images:,} images, {summary.seed_accuracy:.1%} of held-out seeds right")

# %% [markdown]
# ## What is doubtful
#
# The least confident labels, as pictures: these are the images to label next, or the
# rule to write next.

# %%
labels = pd.read_parquet(place / "run" / "labels.parquet")
doubtful = labels.sort_values("confidence").head(8)
strip = [Image.open(photos / name).resize((64, 64)) for name in doubtful["image_id"]]
sheet = Image.fromarray(np.hstack([np.asarray(each) for each in strip]))
sheet

# %%
others = labels.merge(truth, on="image_id", suffixes=("", "_true"))[40:]
labeled = others[others["label"].notna()]
right = (labeled["label"] == labeled["label_true"]).mean()
print(f"{len(labeled)} of {len(others)} others have a label, {right:.1%} are right")

# %% [markdown]
# ## Use them
#
# A run is a data set of torch: image, soft label, and its confidence as a weight.

# %%
data = lfkit.LabeledImages(place / "run")
image, label, weight = data[0]
print(len(data), tuple(image.shape), label.tolist(), round(float(weight), 2))
