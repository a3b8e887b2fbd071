"""docs/architecture.md says what the code is."""

from benchmarks import walk


def test_picture_of_the_layers_is_that_of_the_import_contract():
    page = walk.PAGE.read_text()
    assert walk.replaced(page, "layers", walk.picture()) == page, (
        "run `python -m benchmarks.walk --layers`"
    )
    assert len(walk.layers()) <= 12


def test_a_walk_notes_each_first_call_between_files(tmp_path):
    with walk.Walk(until=lambda: False) as found:
        from lfkit.data.datasets import open_images

        open_images("digits")
        open_images("digits")
    hops = {(hop.source, hop.target): hop for hop in walk.hops_of(found)}
    first = hops["data/datasets/catalog.py", "data/datasets/digits.py"]
    assert (first.function, first.is_up) == ("open_digits", False)
    assert not any(hop.is_up for hop in hops.values())


def test_a_call_of_what_was_passed_down_goes_up():
    from lfkit.aggregators import MajorityVote
    from lfkit.data.votes import Votes

    votes = Votes([[0, 1], [1, 1]], names=("a", "b"), n_classes=2)
    with walk.Walk(until=lambda: False) as found:
        MajorityVote().fit(votes)
    up = [hop for hop in walk.hops_of(found) if hop.is_up]
    assert [(hop.source, hop.target) for hop in up] == [
        ("aggregators/aggregator.py", "aggregators/majority_vote.py")
    ]


def test_pages_name_files_and_tables_that_exist():
    import re

    for name in ("CONTRIBUTING.md", "docs/architecture.md"):
        page = (walk.ROOT / name).read_text()
        for path in re.findall(r"\]\((?!http)([^)#]+)\)", page):
            assert (walk.ROOT / name).parent.joinpath(path).exists(), path
        for path in re.findall(r"`((?:lfkit|tests|templates)/[\w/.]+)`", page):
            assert (walk.ROOT / path).exists(), path
