"""Every command and snippet of docs/scale.md runs."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

PAGE = (Path(__file__).parents[1] / "docs" / "scale.md").read_text()
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
