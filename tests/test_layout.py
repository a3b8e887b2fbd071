"""One place and one name for everything in lfkit."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1] / "lfkit"
SOURCES = sorted(ROOT.rglob("*.py"))

# Files named after the same public thing, beside a command's recipe and its options.
NAMED_ALIKE = {
    "errors.py": {"errors.py", "report/sections/errors.py"},  # the report's section
    "labels.py": {"data/labels.py", "report/sections/labels.py"},
    "lda.py": {"classifiers/lda.py", "refinement/stages/lda.py"},
    # Aggregators label votes; the command asks one of them.
    "aggregate.py": {
        "aggregators/aggregate.py",
        "cli/aggregate.py",
        "commands/aggregate.py",
    },
    # What an option is, and how it becomes one of the command line.
    "options.py": {
        "cli/options.py",
        "commands/active/options.py",
        "commands/options.py",
        "runs/options.py",
    },
    # What progress is, and its bars.
    "progress.py": {"cli/progress.py", "data/progress.py"},
    "files.py": {"data/files.py", "features/user_code/files.py"},
}


def test_the_root_holds_what_writing_functions_needs_and_folders():
    files = {path.name for path in ROOT.iterdir() if path.is_file()}
    assert files == {"__init__.py", "__main__.py", "errors.py", "py.typed"}


def test_every_folder_of_code_is_a_package():
    folders = {path.parent for path in SOURCES}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_no_file_name_exists_twice():
    places = defaultdict(set)
    for path in SOURCES:
        if path.name != "__init__.py":
            places[path.name].add(path.relative_to(ROOT).as_posix())
    for name, found in places.items():
        command = {f"cli/{name}", f"commands/{name}", f"commands/active/{name}"}
        assert len(found) == 1 or found <= command or found == NAMED_ALIKE[name], found
    unused = [name for name in NAMED_ALIKE if len(places[name]) < 2]
    assert not unused


def test_no_class_name_exists_twice():
    places = defaultdict(set)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].add(path.relative_to(ROOT).as_posix())
    assert not {name: found for name, found in places.items() if len(found) > 1}
