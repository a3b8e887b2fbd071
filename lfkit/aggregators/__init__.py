"""From votes to labels: one file per model, one contract.

A model learns from a vote matrix how far to trust each labeling function, and returns a
distribution over classes for every image.
"""

from lfkit.aggregators.aggregator import Aggregator as Aggregator
from lfkit.aggregators.auto import Auto as Auto
from lfkit.aggregators.dawid_skene import DawidSkene as DawidSkene
from lfkit.aggregators.flying_squid import FlyingSquid as FlyingSquid
from lfkit.aggregators.label_model import LabelModel as LabelModel
from lfkit.aggregators.majority_vote import MajorityVote as MajorityVote
from lfkit.aggregators.seed_weighted import SeedWeightedVote as SeedWeightedVote

AGGREGATORS: dict[str, type[Aggregator]] = {
    "auto": Auto,
    "majority-vote": MajorityVote,
    "dawid-skene": DawidSkene,
    "label-model": LabelModel,
    "flying-squid": FlyingSquid,
    "seed-weighted": SeedWeightedVote,
}
