"""Pages of the site that are made from other files and from the code (`make docs`).

README, changelog and contributing guide stand in the root; the notebooks are scripts;
the reference is made from the options of the commands and from docstrings.
"""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
FROM_ROOT = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
# The reference's pages, and whose public names each has.
FAMILIES = {
    "lfkit": ["lfkit"],
    "data": ["lfkit.data.datasets", "lfkit.data.vote_files"],
    "aggregators": ["lfkit.aggregators"],
    "refinement": ["lfkit.refinement"],
    "generators": ["lfkit.generators"],
    "metrics": ["lfkit.metrics"],
    "classifiers": ["lfkit.classifiers"],
    "encoders": ["lfkit.encoders"],
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for source, page in FROM_ROOT.items():
        text = linked_from_docs((ROOT / source).read_text())
        files.append(File.generated(config, page, content=text))
    for path in sorted((ROOT / "examples" / "notebooks").glob("*.py")):
        page = f"notebooks/{path.stem}.md"
        text = notebook_page(path.read_text(), path.name)
        files.append(File.generated(config, page, content=text))
    pages = {name: family_page(modules) for name, modules in FAMILIES.items()}
    pages["commands"], pages["features"] = commands_page(), features_page()
    for name, text in pages.items():
        page = f"reference/{name}.md"
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Give pages that stand alone in the navigation the width of its column."""
    if page.file.src_uri in ("index.md", "tutorial.md"):
        page.meta["hide"] = ["navigation"]
    return without_links_to_code(markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Mark short code, so that no option is broken at its hyphens."""
    return re.sub(r"<code>([^<]{1,24})</code>", r'<code class="short">\1</code>', html)


def linked_from_docs(text: str) -> str:
    """Let the links of a page in the root lead where the site has what they name."""
    for source, page in FROM_ROOT.items():
        text = text.replace(f"]({source}", f"]({page}")
    return text.replace("](docs/", "](")


def without_links_to_code(text: str) -> str:
    """Leave the names of files and folders of the clone that are no page."""
    folders = "examples|templates|lf_library"
    return re.sub(rf"\[([^]]+)\]\((?:\.\./)?(?:{folders})[^)]*\)", r"\1", text)


def notebook_page(text: str, name: str) -> str:
    """Turn a notebook in the percent format into a page: text, and code to read."""
    parts = []
    for cell in re.split(r"^# %%", text, flags=re.M)[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            parts.append(re.sub(r"^# ?", "", body.strip(), flags=re.M))
        else:
            parts.append(f"```python\n{body.strip()}\n```")
    opened = (
        f"*This notebook is `examples/notebooks/{name}`: open it in Jupyter with "
        f"jupytext, or make a notebook of it: `jupytext --to ipynb {name}`.*"
    )
    title, *others = parts
    heading, _, rest = title.partition("\n")
    return "\n\n".join([heading, opened, rest.strip(), *others]) + "\n"


def family_page(modules: list[str]) -> str:
    """List the public names of modules, each with its docstring."""
    parts = []
    for name in modules:
        module = importlib.import_module(name)
        first, _, rest = (module.__doc__ or "").strip().partition("\n")
        parts += [f"# {name}", first, rest.strip()]
        parts += [f"::: {path}" for path in public_names(module)]
    return "\n\n".join(part for part in parts if part) + "\n"


def public_names(module: ModuleType) -> Iterator[str]:
    """Give where a module's public classes and functions are defined."""
    later: dict[str, str] = getattr(module, "_LATER", {})
    values = {name: getattr(module, name) for name in [*vars(module), *later]}
    for name, value in values.items():
        home = getattr(value, "__module__", "") or ""
        is_named = getattr(value, "__name__", "") == name
        if is_named and home.startswith("lfkit") and not name.startswith("_"):
            yield f"{home}.{name}"


def commands_page() -> str:
    """Describe every command of `lfkit` and its options, as its own help does."""
    from lfkit.cli.app import app

    parts = [
        "# Commands",
        "`lfkit COMMAND --help` prints the same. A command ends with 0 when it is "
        "done, with 2 when what it was given is wrong, said in one sentence, with 1 "
        "for a bug.",
    ]
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        arguments = [p for p in command.params if not p.opts[0].startswith("-")]
        options = [p for p in command.params if p.opts[0].startswith("-")]
        shown = " ".join([f"lfkit {name}", *map(placeholder, arguments), "[OPTIONS]"])
        parts += [f"## lfkit {name}", plain(command.help), f"```text\n{shown}\n```"]
        rows = ["| option | what it does |", "|---|---|"]
        for each in [*arguments, *options]:
            rows.append(f"| {spelled(each)} | {described(each)} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def placeholder(argument: Any) -> str:
    """Write an argument as the usage of its command shows it."""
    name = argument.metavar or argument.name.upper()
    return str(name if argument.required else f"[{name}]")


def spelled(parameter: Any) -> str:
    """Write an option as it is typed."""
    names = [*parameter.opts, *parameter.secondary_opts]
    if not names[0].startswith("-"):
        return f"`{placeholder(parameter)}`"
    value = f" {parameter.metavar}" if parameter.metavar else ""
    return ", ".join(f"`{name}{value}`" for name in names)


def described(parameter: Any) -> str:
    """Say what an option does, and its default where that says something."""
    text = plain(parameter.help or "")
    is_value = parameter.default not in (None, False, True, (), "")
    return f"{text} Default: `{parameter.default}`." if is_value else text


def plain(text: str) -> str:
    """Keep a table's cells apart, and options from being read as Markdown."""
    parts = re.split(r"(`[^`]*`)", text)  # every second one is code already
    for at in range(0, len(parts), 2):
        marked = re.sub(r"(?<![\w-])(--[a-z][\w-]*)", r"`\1`", parts[at])
        parts[at] = marked.replace("<", "&lt;")
    return "".join(parts).replace("|", "\\|")


def features_page() -> str:
    """List the features by the file that they are imported from."""
    from lfkit.features import FEATURES

    parts = [
        "# Features",
        f"Numbers that functions read: {len(FEATURES)} by name, each in its file, "
        "such as `from lfkit.features.edges import edge_density`. The shape is that "
        "of a batch of n images. Own ones are made with "
        "[`@feature`](lfkit.md#lfkit.features.feature.feature).",
    ]
    for file in dict.fromkeys(FEATURES.file_of.values()):
        module = importlib.import_module(f"lfkit.features.{file}")
        first = (module.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ")
        rows = ["| feature | what it measures |", "|---|---|"]
        for name in (name for name, home in FEATURES.file_of.items() if home == file):
            line = FEATURES[name].doc
            rows.append(f"| `{name}` | {plain(line)} |")
        parts += [f"## lfkit.features.{file}", first, "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


class PlainNumpydoc(griffe.Extension):
    """Reads docstrings whose parameters have no types, and doctests anywhere.

    numpydoc takes what follows `name :` for a type; in lfkit it is the description.
    """

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite a docstring before it is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(text: str) -> str:
    """Put descriptions under their names, and doctests into a section of examples."""
    lines, section = [], ""
    source = text.split("\n")
    for number, line in enumerate(source):
        below = source[number + 1] if number + 1 < len(source) else ""
        if re.fullmatch(r"-{3,}", below):
            section = line
        if line.startswith(">>> ") and section != "Examples":
            section = "Examples"
            lines += [section, "-" * len(section)]
        has_names = section in ("Parameters", "Attributes", "Returns")
        named = has_names and re.fullmatch(
            r"(\*{0,2}\w+(?:, \*{0,2}\w+)*) : (.*)", line
        )
        lines += [named[1], f"    {named[2]}"] if named else [line]
    return "\n".join(lines)
