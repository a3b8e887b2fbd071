"""Fill-in templates: copied, with their table line, each is a working member."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEMPLATES = sorted((ROOT / "templates").glob("*.py"))
every_template = pytest.mark.parametrize(
    "template", TEMPLATES, ids=[path.stem for path in TEMPLATES]
)
LFS = """
from lfkit import labeling_function

CLASSES = ["dark", "light"]

@labeling_function(classes=[0, 1])
def mean_decides(image):
    return int(image.mean() > 127)
"""


@dataclass
class Instructions:
    """What the comments at a template's top say."""

    target: str
    table: str
    table_file: str
    imports: list[str]
    line: str
    check: list[str]


def instructions(template):
    head = template.read_text().split('"""')[0]
    steps = [line.removeprefix("#") for line in head.splitlines()]
    table = re.search(r"# Table (\w+) in ([\w/.]+), ", head)
    check = re.search(r"# Check: python -m pytest (.*?)(?:, and|\n)", head)
    return Instructions(
        target=re.search(r"copy to: (\S+)", head)[1],
        table=table[1],
        table_file=table[2],
        imports=[line.strip() for line in steps if line.startswith("   from ")],
        line=next(s for s in steps if s.startswith("     ") and s.endswith(","))[1:],
        check=shlex.split(check[1]),
    )


def add_line(text, table, line):
    """Put a line at the end of a table: before the first line of brackets alone."""
    lines = text.splitlines()
    start = next(i for i, found in enumerate(lines) if re.match(rf"{table}\b", found))
    ends = (i for i in range(start, len(lines)) if re.fullmatch(r" *[)}\]]+", lines[i]))
    lines.insert(next(ends), line)
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the project to which every template is added as it says."""
    copy = tmp_path_factory.mktemp("checkout")
    skipped = shutil.ignore_patterns("__pycache__", "data", "quality")
    for name in ("lfkit", "lf_library", "tests"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=skipped if name == "tests" else None
        )
    shutil.copy(ROOT / "pyproject.toml", copy)
    for template in TEMPLATES:
        steps = instructions(template)
        assert not (copy / steps.target).exists()
        shutil.copy(template, copy / steps.target)
        table_file = copy / steps.table_file
        text = add_line(table_file.read_text(), steps.table, steps.line)
        head, future, rest = text.partition("import annotations\n")
        text = "\n".join([head + future, *steps.imports, rest]) if future else text
        if not future:
            doc, _, rest = text.partition('"""\n\n')
            text = "\n".join([doc + '"""\n', *steps.imports, rest])
        table_file.write_text(text)
    return copy


def run(checkout, *arguments):
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout), "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )


def test_there_is_a_template_of_each_family():
    assert [path.stem for path in TEMPLATES] == [
        *("aggregator", "data_format", "encoder", "feature", "generator", "metric"),
        "report_section",
    ]


@every_template
def test_a_template_is_one_file_and_one_line_and_passes_the_contract(
    checkout, template
):
    steps = instructions(template)
    assert len(steps.imports) == (steps.table != "FEATURES")
    done = run(checkout, "pytest", "-q", "-p", "no:cacheprovider", *steps.check)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE)


def test_the_command_line_knows_the_new_members(checkout):
    (checkout / "lfs.py").write_text(LFS)
    done = run(checkout, "lfkit", "list", "--lfs", "lfs.py", "--json")
    assert done.returncode == 0, done.stderr
    for name in (
        *("agreement-vote", "middle_brightness", "color-means", "conditional"),
        "mean-color",
    ):
        assert f'"name": "{name}"' in done.stdout
    assert "a line 'n h w c'" in done.stdout


def test_the_new_format_aggregator_and_section_are_used(checkout):
    (checkout / "lfs.py").write_text(LFS)
    pixels = bytes([0] * 64 + [255] * 64 + [90] * 64)
    (checkout / "three.raw").write_bytes(b"3 8 8 1\n" + pixels)
    done = run(
        checkout,
        *("lfkit", "apply", "three.raw", "--lfs", "lfs.py", "--out", "three"),
        *("--with", "agreement-vote", "--no-sheet"),
    )
    assert done.returncode == 0, done.stderr
    labels = (checkout / "three" / "labels.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in labels[1:]] == ['"dark"', '"light"', '"dark"']
    assert run(checkout, "lfkit", "report", "three").returncode == 0
    assert "Votes on an image" in (checkout / "three" / "report.html").read_text()


OPEN_BOTH = """
from lfkit.data.datasets import open_images
from lfkit.errors import DataError

for name in ("short.raw", "words.raw"):
    try:
        open_images(name)
    except DataError as error:
        print(error)
"""


def test_the_new_format_names_a_damaged_file(checkout):
    (checkout / "short.raw").write_bytes(b"3 8 8 1\nshort")
    (checkout / "words.raw").write_bytes(b"three images")
    (checkout / "open_both.py").write_text(OPEN_BOTH)
    done = run(checkout, "open_both")
    assert done.stdout.splitlines() == [
        "short.raw holds 5 bytes of pixels, and its first line says 192; it is "
        "damaged, fetch it again.",
        "words.raw does not start with a line 'n h w c'.",
    ]
