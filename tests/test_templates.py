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
# Run in the copy, by the process that runs the contracts there.
USES = '''
import pytest

from lfkit.data.datasets import open_images
from lfkit.errors import DataError

LFS = """
from lfkit import labeling_function

CLASSES = ["dark", "light"]

@labeling_function(classes=[0, 1])
def mean_decides(image):
    return int(image.mean() > 127)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lfs.py").write_text(LFS)
    return tmp_path


def test_the_command_line_knows_new_members(lfkit):
    done = lfkit("list", "--lfs", "lfs.py", "--json")
    assert done.code == 0, done.err
    for name in (
        *("agreement-vote", "middle_brightness", "color-means", "conditional"),
        "mean-color",
    ):
        assert f'"name": "{name}"' in done.out
    assert "a line 'n h w c'" in done.out


def test_new_format_aggregator_and_section_are_used(lfkit, here):
    pixels = bytes([0] * 64 + [255] * 64 + [90] * 64)
    (here / "three.raw").write_bytes(b"3 8 8 1\\n" + pixels)
    done = lfkit(
        *("apply", "three.raw", "--lfs", "lfs.py", "--out", "three"),
        *("--with", "agreement-vote", "--no-sheet"),
    )
    assert done.code == 0, done.err
    labels = (here / "three" / "labels.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in labels[1:]] == ['"dark"', '"light"', '"dark"']
    assert lfkit("report", "three").code == 0
    assert "Votes on an image" in (here / "three" / "report.html").read_text()


def test_the_new_format_names_a_damaged_file(here):
    (here / "short.raw").write_bytes(b"3 8 8 1\\nshort")
    (here / "words.raw").write_bytes(b"three images")
    for name, told in (
        (
            "short.raw",
            "short.raw holds 5 bytes of pixels, and its first line says 192; it is "
            "damaged, fetch it again.",
        ),
        ("words.raw", "words.raw does not start with a line 'n h w c'."),
    ):
        with pytest.raises(DataError) as caught:
            open_images(name)
        assert str(caught.value) == told
'''


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
    (copy / "tests" / "test_uses_of_new_members.py").write_text(USES)
    return copy


def test_there_is_a_template_of_each_family():
    assert [path.stem for path in TEMPLATES] == [
        *("aggregator", "data_format", "encoder", "feature", "generator", "metric"),
        "report_section",
    ]


@pytest.fixture(scope="module")
def checked(checkout):
    """What all checks print; they are made by one process, which starts for seconds."""
    checks = [instructions(template).check for template in TEMPLATES]
    assert [each[1] for each in checks] == ["-k"] * len(TEMPLATES)
    words = " or ".join(["uses_of_new_members", *(f"({each[2]})" for each in checks)])
    files = ["tests/test_uses_of_new_members.py", *(each[0] for each in checks)]
    told = ("-q", "-rA", "-p", "no:cacheprovider")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *told, *files, "-k", words],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout), "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )


@every_template
def test_a_template_is_one_file_and_one_line_and_passes_the_contract(checked, template):
    steps = instructions(template)
    assert len(steps.imports) == (steps.table != "FEATURES")
    file, _, words = steps.check
    found = re.findall(rf"^([A-Z]+) {re.escape(file)}::(.*)", checked.stdout, re.M)
    ends = {end for end, _ in found}
    assert ends == {"PASSED"}, checked.stdout + checked.stderr
    own = words.split(" or ")
    assert any(word in name for _, name in found for word in own)


@pytest.mark.parametrize("use", re.findall(r"^def (test_\w+)", USES, re.M))
def test_new_members_are_used(checked, use):
    passed = f"PASSED tests/test_uses_of_new_members.py::{use}"
    assert passed in checked.stdout, checked.stdout + checked.stderr
