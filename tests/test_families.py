"""Members of a family know only what the family shares: none imports another.

A module of a family's folder is a member unless it is named here: as shared, which
members may import and which imports no member, or as one that knows the whole family.
So a new file is a member by itself.
"""

from dataclasses import dataclass, field

import grimp
import pytest

import lfkit.aggregators
import lfkit.classifiers
import lfkit.encoders
import lfkit.generators
import lfkit.generators.gan.networks
import lfkit.metrics
import lfkit.metrics.extractors
import lfkit.report.sections
from lfkit.data.datasets.catalog import DATASETS, FORMATS


@dataclass(frozen=True)
class Family:
    """The modules of a folder that are no members.

    Attributes
    ----------
    shared : what members may import: the contract, and code of several members.
    whole : what knows every member: tables, and what runs them.
    may : for a member, others that it may import, with the reason beside it.
    """

    shared: set[str]
    whole: set[str] = field(default_factory=set)
    may: dict[str, set[str]] = field(default_factory=dict)


FAMILIES = {
    "aggregators": Family(
        {"aggregator", "calibration", "inference"},
        {"aggregate", "fitted_labels", "vote_model"},
        # It chooses between these, by held-out votes.
        {"auto": {"dawid_skene", "seed_weighted"}},
    ),
    "classifiers": Family({"classifier"}, {"baselines"}),
    "encoders": Family({"encoder", "imagenet_classes", "hooked_network", "onnx_files"}),
    "metrics": Family(
        {
            "extractors",
            "feature_statistics",
            "generated_images",
            "image_set",
            "labeled_metric",
            "metric",
            "nearest",
            "trained_classifiers",
        },
        {"evaluator", "score_table", "scores_file", "usefulness"},
    ),
    "metrics.extractors": Family({"extractor"}),
    "generators": Family(
        {
            "classifier_gan",
            "classifier_step",
            "gan",
            "gan_generator",
            "generator",
            "lf_votes",
            "plan",
            "samples",
            "sampling",
            "saved_generator",
            "trained_gan",
            "trained_maker",
            "training",
            "training_set",
            "tuning",
            "writers",
        },
        {"stream"},
    ),
    "generators.gan.networks": Family({"gan_network"}),
    "report.sections": Family({"section"}),
    "refinement.stages": Family(
        {"image_graphs", "looks_at_seeds", "stage"}, {"all_stages"}
    ),
    # Features are built on features: gray levels, edges, shapes, descriptors.
    "features": Family(
        {"dictionary", "edges", "feature", "gray", "shape", "sift", "user_code"}
    ),
    "data.datasets": Family(
        {
            "array_source",
            "common_look",
            "decoding",
            "disk_cache",
            "exif",
            "file_index",
            "folder_layout",
            "folder_names",
            "image_files",
            "image_limits",
            "label_columns",
            "matlab",
            "named_folders",
            "packed_images",
        },
        {"catalog"},
        {
            # A named data set is made of another, or comes as files of a format.
            "cifar_10": {"cifar"},
            "fashion_mnist": {"idx"},
            "openclipart": {"folder"},
            "street_digits": {"digits"},
            # A folder may hold a list of its files.
            "folder": {"metadata_files"},
            "metadata_files": {"manifest"},
            # A Parquet file of images may have a column of labels, as a list has.
            "parquet_images": {"manifest"},
        },
    ),
    "data.vote_files": Family(
        {"vote_file"},
        {"read_votes", "write_votes"},
        # An export is read as a table of one row per vote.
        {"label_studio_votes": {"long_table"}},
    ),
}

TABLES = {
    "aggregators": lfkit.aggregators.AGGREGATORS.values(),
    "classifiers": lfkit.classifiers.CLASSIFIERS.values(),
    "encoders": lfkit.encoders.ENCODERS.values(),
    "generators": lfkit.generators.GENERATORS.values(),
    "metrics": lfkit.metrics.METRICS.values(),
    "metrics.extractors": lfkit.metrics.extractors.EXTRACTORS.values(),
    "report.sections": lfkit.report.sections.SECTIONS,
    "data.datasets": [known.open for known in (*DATASETS.values(), *FORMATS.values())],
}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("lfkit", exclude_type_checking_imports=True)


def imports_within(graph, package):
    """What each file or folder of a package imports of the others, by name."""
    found = {}
    for child in sorted(graph.find_children(package)):
        own = {child} | graph.find_descendants(child)
        imported = {
            name
            for module in own
            for name in graph.find_modules_directly_imported_by(module)
        }
        found[child.removeprefix(f"{package}.")] = {
            name.removeprefix(f"{package}.")
            for name in imported - own
            if name.startswith(f"{package}.")
        }
    return found


def is_among(name, allowed):
    """Whether a module or a folder that it lies in is among these."""
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_member_imports_another(graph, name):
    family = FAMILIES[name]
    for module, imported in imports_within(graph, f"lfkit.{name}").items():
        if module in family.whole:
            continue
        allowed = family.shared | family.may.get(module, set())
        others = {one for one in imported if not is_among(one, allowed)}
        assert not others, f"lfkit.{name}.{module} imports {sorted(others)}"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_exception_is_needed(graph, name):
    family = FAMILIES[name]
    imports = imports_within(graph, f"lfkit.{name}")
    assert family.shared | family.whole <= set(imports)
    for module, others in family.may.items():
        unused = {one for one in others if not is_among(one, imports[module])}
        assert not unused, f"lfkit.{name}.{module} imports no {sorted(unused)}"


@pytest.mark.parametrize("name", TABLES)
def test_what_a_table_names_is_defined_by_members(name):
    family, package = FAMILIES[name], f"lfkit.{name}"
    for entry in TABLES[name]:
        place, _, rest = entry.__module__.partition(f"{package}.")
        member = rest.split(".")[0]
        assert place == ""
        assert member
        assert member not in family.shared | family.whole, entry


def test_a_member_that_imports_another_is_found(graph):
    changed = grimp.build_graph("lfkit", exclude_type_checking_imports=True)
    changed.add_import(
        importer="lfkit.metrics.prdc", imported="lfkit.metrics.inception_score"
    )
    with pytest.raises(AssertionError, match=r"metrics\.prdc.*inception_score"):
        test_no_member_imports_another(changed, "metrics")
