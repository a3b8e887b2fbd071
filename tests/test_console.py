"""What comes from files is shown in the terminal, and is never a command to it."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.table import Table

import lfkit.cli
from lfkit.cli.console import Console, Text, echo, shown

TITLE = "\x1b]0;title\x07"
SHOWN = r"\x1b]0;title\x07"
EVIL = f"{TITLE}\x9b31m\r\u202e[red]x[/red]:smile:"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FUNCTIONS = f"""
from lfkit import labeling_function
CLASSES = ["dark", {"b" + EVIL!r}]

@labeling_function(classes=[0, 1])
def bright(image):
    if image.mean() > 220:
        raise ValueError({EVIL!r})
    return int(image.mean() > 120)

@labeling_function(classes=[1])
def odd(image):
    {EVIL!r}
    return 1
"""


def test_shown_text_keeps_what_is_text():
    assert shown("Zoë, 日本, a\tb\nc, 50 % é") == "Zoë, 日本, a\tb\nc, 50 % é"
    assert shown("\udc80") == r"\udc80"
    assert not CONTROL.search(shown(EVIL))


@pytest.mark.parametrize(
    "make",
    [
        lambda: EVIL,
        lambda: Text(EVIL, "red"),
        lambda: Text.assemble((EVIL, "bold"), EVIL),
        lambda: Text("a").append(EVIL),
        lambda: table_of(EVIL),
        lambda: table_of(Text(EVIL)),
    ],
)
def test_nothing_that_is_printed_is_a_command(make):
    console = Console(file=io.StringIO(), width=200)
    console.print(make())
    printed = console.file.getvalue()
    assert not CONTROL.search(printed)
    assert SHOWN in printed
    assert "[red]x[/red]:smile:" in printed


def table_of(cell):
    table = Table(EVIL, title=cell)
    table.add_row(cell)
    return table


def test_echo_shows_too(capsys):
    echo(EVIL)
    echo(EVIL, err=True)
    for text in capsys.readouterr():
        assert SHOWN in text
        assert not CONTROL.search(text)


def test_there_is_no_other_way_to_the_terminal():
    other = re.compile(
        r"typer\.echo|click\.echo|secho|(?<![.\w])print\(|sys\.std(out|err)\.write"
        r"|rich\.console import .*Console|rich\.text|rich import print"
    )
    for path in Path(lfkit.cli.__file__).parent.glob("*.py"):
        if path.name != "console.py":
            assert not other.search(path.read_text()), path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evil")
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 90, (8, 8)) + 150 * (number % 2)
        place = folder / "photos" / ("dark", "b" + EVIL.replace("/", ""))[number % 2]
        place.mkdir(exist_ok=True, parents=True)
        name = f"{number:02}{TITLE}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(place / name)
    (place / f"broken{TITLE}.png").write_bytes(b"no picture")
    (folder / "functions.py").write_text(FUNCTIONS.replace("[/red]", "[red]"))
    return folder


def test_no_command_sends_names_as_they_are(folder, lfkit, monkeypatch):
    monkeypatch.chdir(folder)
    run = f"run{TITLE}"
    Path(f"odd{TITLE}.csv").write_text("image_id,label\nx,y\n")
    calls = [
        ["list", "lfs", "--lfs", "functions.py"],
        ["apply", "photos", "--lfs", "functions.py", "--out", run],
        ["analyze", run],
        ["analyze", run, "--labels", f"odd{TITLE}.csv"],
        ["diagnose", run],
        ["aggregate", run, "--with", "dawid-skene"],
        ["evaluate", run],
        ["report", run],
        ["export", run, "--out", f"votes{TITLE}.csv"],
        ["train", f"no{TITLE}"],
        ["generate", run, "-n", "1", "--out", "made", "--with", EVIL],
        ["apply", f"no{TITLE}", "--lfs", "functions.py"],
        ["apply", "photos", "--lfs", f"no{TITLE}.py"],
    ]
    said = ""
    for call in calls:
        done = lfkit(*call)
        said += done.out + done.err
        text = (done.out + done.err).replace("\r", "")
        assert not CONTROL.search(text), call
        assert done.code in (0, 2), done.err
    assert SHOWN in said
    assert json.loads(Path(run, "summary.json").read_text())["data"] == "photos"
    shutil.rmtree(run)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x\ny.csv", "a,b\n"),
        ("x\ny.csv", "a,b\n1,x\n"),
        ("x\ny.csv", "task,worker,label\n"),
        ("x\ny.json", "{"),
        ("x\ny.npy", "no array"),
    ],
)
def test_an_error_names_its_file_in_one_line(lfkit, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    done = lfkit(
        "aggregate", tmp_path / name, "--with", "dawid-skene", "--out", tmp_path
    )
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert name.replace("\n", r"\n") in done.err
