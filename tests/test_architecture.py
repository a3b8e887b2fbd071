"""Pages and settings for contributors say what the code is."""

import re
import tomllib

from benchmarks import walk


def test_picture_of_the_layers_is_that_of_the_import_contract():
    page = walk.PAGE.read_text()
    assert walk.replaced(page, "layers", walk.picture()) == page, (
        "run `python -m benchmarks.walk --layers`"
    )
    assert len(walk.layers()) <= 13


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
    for name in ("CONTRIBUTING.md", "docs/architecture.md"):
        page = (walk.ROOT / name).read_text()
        for path in re.findall(r"\]\((?!http)([^)#]+)\)", page):
            assert (walk.ROOT / name).parent.joinpath(path).exists(), path
        for path in re.findall(r"`((?:lfkit|tests|templates)/[\w/.]+)`", page):
            assert (walk.ROOT / path).exists(), path


def test_pre_commit_runs_what_make_check_runs():
    makefile = (walk.ROOT / "Makefile").read_text()
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    hooks = (walk.ROOT / ".pre-commit-config.yaml").read_text()
    entries = re.findall(r"entry: \.venv/bin/(.*)", hooks)
    assert entries == re.findall(r"\$\(RUN\)/(.*)", recipe)


def test_a_wheel_has_every_file_of_the_package():
    project = tomllib.loads((walk.ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["lfkit"]
    package = walk.ROOT / "lfkit"
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    others = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert others
    assert others <= packed
    modules = {path.parent for path in package.rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in modules)
