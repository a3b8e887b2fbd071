"""Data sets too large for one call: cut into shards, each labeled by itself."""

from lfkit.data.shards.list_shards import list_shards as list_shards
from lfkit.data.shards.numbering import numbered_as_before as numbered_as_before
from lfkit.data.shards.open_shard import open_shard as open_shard
from lfkit.data.shards.shard import Shard as Shard
