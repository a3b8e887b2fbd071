"""Every command and snippet of docs/python.md runs, in its order."""

import re
import shlex
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def test_every_command_and_snippet_runs(lfkit, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_rules", raising=False)
    n_commands, printed, names = 0, [], {"__name__": "page"}
    for kind, text in BLOCKS:
        if kind == "console":
            for line in text.splitlines():
                program, *arguments = shlex.split(line.removeprefix("$ "))
                assert program == "lfkit"
                more = ["--no-baselines", "--no-sheet"]
                done = lfkit(*arguments, *(more if arguments[0] == "apply" else []))
                assert done.code == 0, f"{line}\n{done.err}"
                n_commands += 1
        elif text.startswith("# my_rules.py"):
            (tmp_path / "my_rules.py").write_text(text)
        else:
            exec(text, names)
            printed += capsys.readouterr().out.splitlines()
    sys.modules.pop("my_rules", None)
    assert n_commands == 4
    held_out, crossed, images = printed
    assert float(held_out) > 0.8  # 0.5 by chance
    assert float(crossed) > 0.8
    assert re.fullmatch(r"\d+ images of 0, 1", images)
