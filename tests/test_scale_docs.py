"""Every command and snippet of docs/scale.md and docs/tutorial_scale.md runs."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "scale.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ")
    for kind, text in BLOCKS
    if kind == "console"
    for line in text.splitlines()
]
RULES = """
from lfkit import ABSTAIN, Quantile, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature(batched=True)
def ink(images):
    return images.mean(dim=(1, 2, 3))


def little_ink(digit):
    @labeling_function(
        classes=[digit],
        features=[ink],
        thresholds={"cut": Quantile(ink, q=0.3, among="declared")},
        batched=True,
        name=f"little_ink_is_{digit}",
    )
    def claim(ink, *, cut):
        return (ink < cut).long() * (digit + 1) - 1

    return claim


LFS = [little_ink(digit) for digit in (1, 4, 7)]
"""


def test_every_command_and_snippet_runs(lfkit, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # The page's library takes a minute; what it does is tested elsewhere.
    (tmp_path / "my_rules.py").write_text(RULES)
    assert len(COMMANDS) == 13
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "lfkit"
        if "ray" in arguments and find_spec("ray") is None:
            continue
        arguments = [
            "my_rules.py" if a == "lf_library.digits" else a for a in arguments
        ]
        more = {
            "apply": ["--no-baselines", "--no-sheet"],
            "export": ["--classifier-steps", "20"],
        }.get(arguments[0], [])
        done = lfkit(*arguments, *more)
        assert done.code == 0, f"{command}\n{done.err}"
    parts = [sorted(Path(out).glob("part-*.parquet")) for out in ("labeled", "parts")]
    assert [p.read_bytes() for p in parts[0]] == [p.read_bytes() for p in parts[1]]
    assert {"image_id", "label", "confidence", "p_0", "problem"} <= set(
        pd.read_parquet(parts[0][0]).columns
    )
    (snippet,) = [text for kind, text in BLOCKS if kind == "python"]
    exec(snippet, {"__name__": "page"})
    assert re.match(r"\d 0?\.\d+", capsys.readouterr().out)
    files = {path.name for path in (tmp_path / "labeler").iterdir()}
    told = set(re.findall(r"^\| `(.+?)/?` \|", PAGE, re.M))
    assert files <= told


MEANS = """
import torch
from lfkit import NearestMean, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


def tells(side):
    @feature(batched=True, name=f"means_of_{side}")
    def means(images):
        return torch.nn.functional.adaptive_avg_pool2d(images, side).flatten(1)

    @labeling_function(
        classes=list(range(10)),
        features=[means],
        thresholds={"rule": NearestMean(means)},
        batched=True,
        name=f"means_of_{side}_tell",
    )
    def function(values, *, rule):
        return rule(values).argmax(dim=1)

    return function


LFS = [tells(side) for side in (3, 4, 8)]
"""


def test_the_tutorial_runs_with_digits_in_place_of_clothes(
    lfkit, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "means.py").write_text(MEANS)
    page = (DOCS / "tutorial_scale.md").read_text()
    for clothes in ("fashion-mnist:test", "fashion-mnist"):
        page = page.replace(clothes, "digits")
    page = page.replace("lf_library.fashion", "means.py")
    if find_spec("ray") is None:
        page = page.replace("--engine ray", "")
    commands = 0
    for kind, text in re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL):
        if kind == "python":
            exec(text, {"__name__": "page"})
        if kind != "console":
            continue
        for line in text.splitlines():
            program, *arguments = shlex.split(line.removeprefix("$ "))
            assert program == "lfkit"
            more = {
                "apply": ["--no-baselines", "--no-sheet"],
                "label": ["--trust-code"],
            }.get(arguments[0], [])
            done = lfkit(*arguments, *more)
            assert done.code == 0, f"{line}\n{done.err}"
            commands += 1
    assert commands == 4
    parts = [pd.read_parquet(path) for path in Path("labeled").glob("*.parquet")]
    assert sum(map(len, parts)) == 1797
    assert len(parts) == 4
    told = re.match(r"(0\.\d+) of the test images", capsys.readouterr().out)
    assert told is not None
    assert float(told[1]) > 0.5  # 0.1 by chance
