"""Aggregators: from votes to one label distribution per image."""

from lfkit.aggregators.aggregator import Aggregator as Aggregator
from lfkit.aggregators.auto import Auto as Auto
from lfkit.aggregators.data_programming import DataProgramming as DataProgramming
from lfkit.aggregators.dawid_skene import ClassConditional as ClassConditional
from lfkit.aggregators.dawid_skene import DawidSkene as DawidSkene
from lfkit.aggregators.dawid_skene import OneCoin as OneCoin
from lfkit.aggregators.flying_squid import FlyingSquid as FlyingSquid
from lfkit.aggregators.label_model import LabelModel as LabelModel
from lfkit.aggregators.majority_vote import MajorityVote as MajorityVote
from lfkit.aggregators.seed_weighted import SeedWeightedVote as SeedWeightedVote
from lfkit.aggregators.shrunk import ShrunkDawidSkene as ShrunkDawidSkene

AGGREGATORS: dict[str, type[Aggregator]] = {
    "auto": Auto,
    "majority-vote": MajorityVote,
    "one-coin": OneCoin,
    "class-conditional": ClassConditional,
    "dawid-skene": DawidSkene,
    "shrunk": ShrunkDawidSkene,
    "label-model": LabelModel,
    "flying-squid": FlyingSquid,
    "data-programming": DataProgramming,
    "seed-weighted": SeedWeightedVote,
}
