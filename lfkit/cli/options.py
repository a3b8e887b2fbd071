"""Turns the options of a command into its parameters on the command line."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from lfkit.runs.options import Option

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def completing(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Make what completes a value by tab, of names that are asked for only then."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def _aggregators() -> Iterable[str]:
    from lfkit.aggregators import AGGREGATORS

    return AGGREGATORS


def _formats() -> Iterable[str]:
    from lfkit.data.label_files import LABEL_FORMATS
    from lfkit.data.vote_files import FORMATS

    return (*FORMATS, *LABEL_FORMATS)


# By field and option; not of generators and stages, whose tables take torch seconds.
_COMPLETED: dict[tuple[str, str | None], Callable[[str], list[str]]] = {
    ("aggregator", "--with"): completing(_aggregators),
    ("format", "--as"): completing(_formats),
}


def with_options(
    kind: type[Any],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of an options dataclass as its parameters.

    The command itself takes one object of that class, and whatever else it declares.

    Parameters
    ----------
    kind : a dataclass whose fields are annotated with `lfkit.runs.options.Option`.
    """
    fields = dataclasses.fields(kind)
    hints = get_type_hints(kind, include_extras=True)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        @functools.wraps(command)
        def call(**given: Any) -> None:
            of_command = {each.name: given.pop(each.name) for each in own}
            values = {
                each.name: _value(each, hints[each.name], given[each.name])
                for each in fields
            }
            command(kind(**values), **of_command)

        parameters = [_parameter(each, hints[each.name]) for each in fields]
        only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        vars(call)["__signature__"] = inspect.Signature([*parameters, *only])
        call.__annotations__ = {}
        return call

    return decorate


def _parameter(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    """Make the parameter that typer reads an option from."""
    plain, option = _parts(field, hint)
    has_default = field.default is not dataclasses.MISSING
    default: Any = field.default if has_default else inspect.Parameter.empty
    names = [option.name] if option.name else []
    if option.parse is not None:
        plain = str | None if has_default else str
    elif get_origin(plain) is tuple:
        plain = list[Path] | None if Path in get_args(plain) else list[str] | None
    if default == ():
        default = None
    if plain is bool and not default and not names:
        names = ["--" + field.name.replace("_", "-")]  # without a --no-
    make = typer.Argument if option.is_argument else typer.Option
    shown = make(
        *names,
        help=option.help,
        metavar=option.metavar,
        autocompletion=_COMPLETED.get((field.name, option.name)),
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[plain, shown],
    )


def _value(field: dataclasses.Field[Any], hint: Any, given: Any) -> Any:
    """Turn what typer has read into the field's value."""
    _, option = _parts(field, hint)
    if given is None:
        return field.default
    if option.parse is not None and isinstance(given, str):
        return option.parse(given)
    return tuple(given) if isinstance(given, list) else given


def _parts(field: dataclasses.Field[Any], hint: Any) -> tuple[Any, Option]:
    plain, *extra = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    option = next((each for each in extra if isinstance(each, Option)), None)
    if option is None:
        raise TypeError(f"field {field.name!r} is not annotated with an Option")
    return plain, option
