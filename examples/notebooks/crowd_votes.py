# ---
# jupyter:
#   jupytext: {formats: "py:percent"}
#   kernelspec: {name: python3, display_name: Python 3, language: python}
# ---

# %% [markdown]
# # Cleaning crowd votes
#
# Five people have labeled handwritten digits, three of them each image. Two are
# careful, one is tired, and two take sevens for ones. Their answers are drawn here, so
# that we know what is true; put your own table (task, worker, label) in their place.

# %%
import numpy as np
import pandas as pd

from lfkit import LFAnalysis
from lfkit.aggregators import DawidSkene, MajorityVote
from lfkit.data.datasets import open_images
from lfkit.data.votes import ABSTAIN, Votes

digits = open_images("digits")
truth = np.asarray(digits.labels)
people = ["ana", "ben", "cy", "dee", "eli"]
right = [0.97, 0.93, 0.7, 0.75, 0.75]

rng = np.random.default_rng(0)
answers = np.full((len(truth), len(people)), ABSTAIN)
for row, digit in enumerate(truth):
    for person in rng.choice(len(people), 3, replace=False):
        said = digit if rng.random() < right[person] else rng.integers(10)
        if person >= 3 and digit == 7 and rng.random() < 0.8:
            said = 1  # dee and eli mean a one
        answers[row, person] = said
votes = Votes(answers, names=people, n_classes=10)

# %% [markdown]
# ## Who agrees with whom
#
# Nobody has said what is true yet.

# %%
print(LFAnalysis(votes).lf_summary().to_string())

# %% [markdown]
# ## Majority, and trust
#
# A majority vote counts everybody the same. Dawid and Skene learn from the answers
# alone how often each person says what of each class.

# %%
majority = MajorityVote().fit(votes).predict_proba(votes)
model = DawidSkene(tables="whole").fit(votes)
trusted = model.predict_proba(votes)


def is_right(proba):
    """Give the share of images whose likeliest class is the true one."""
    return (proba.argmax(axis=1) == truth).mean()


print(f"majority {is_right(majority):.1%}, Dawid-Skene {is_right(trusted):.1%}")

# %% [markdown]
# What it has learned of dee, given a seven: how often she says one, and how often
# seven.

# %%
of_dee = model.confusions_[people.index("dee"), 7, :10]  # the last column: silence
of_dee = of_dee / of_dee.sum()
print(f"says 1: {of_dee[1]:.0%}, says 7: {of_dee[7]:.0%}")

# %% [markdown]
# ## Which answers to ask again
#
# The images with the least sure labels; an answer more there is worth most.

# %%
sure = trusted.max(axis=1)
again = pd.DataFrame(
    {"image": digits.ids, "label": trusted.argmax(axis=1), "sure": sure.round(2)}
)
print(again.sort_values("sure").head(10).to_string(index=False))
