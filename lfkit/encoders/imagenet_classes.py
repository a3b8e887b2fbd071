"""The 1,000 classes of ImageNet, and groups of them that lie side by side."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# ImageNet's order follows WordNet, so kinds of animals are ranges of it.
GROUPS: dict[str, tuple[range, ...]] = {
    "all fish": (range(7), range(389, 398)),
    "all birds": (range(7, 25), range(80, 101), range(127, 147)),
    "all frogs": (range(30, 33),),
    "all turtles": (range(33, 38),),
    "all lizards": (range(38, 49),),
    "all snakes": (range(52, 69),),
    "all spiders": (range(72, 78),),
    "all dogs": (range(151, 269),),
    "all house cats": (range(281, 286),),
    "all big cats": (range(286, 294),),
    "all bears": (range(294, 298),),
    "all insects": (range(300, 327),),
    "all butterflies": (range(321, 327),),
    "all rabbits": (range(330, 333),),
    "all apes and monkeys": (range(365, 383),),
    "all mushrooms": (range(991, 998),),
}


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Read the names of the classes, in order; of one class with commas between."""
    # No global path: it would be hashed, and keys would tell where lfkit is installed.
    file = files("lfkit.encoders").joinpath("imagenet_classes.txt")
    lines = file.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))
