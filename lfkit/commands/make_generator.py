"""A generator by its name, with settings by theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from lfkit.errors import InputError
from lfkit.generators import GENERATORS
from lfkit.generators.generator import JointGenerator
from lfkit.nn.compute import best_device

# Ends the names of generators that `lfkit active` has trained, in RUN/models.
ACTIVE = "-active"


_SWITCH = {"true": True, "false": False}
_RENAMED = {
    "join": "conditioning",
    "images_first": "unconditional_fraction",
    "labels": "label_mode",
}


def make_generator(name: str, settings: Mapping[str, Any]) -> JointGenerator:
    """Make a generator by its name in GENERATORS, with parameters by name.

    Parameters
    ----------
    settings : parameters of the generator and of its plan; texts are read as what the
        parameter is.
    """
    if name not in GENERATORS:
        raise InputError(
            f"there is no generator {name!r}; choose from {', '.join(GENERATORS)}."
        )
    generator = GENERATORS[name](device=best_device())
    own = generator.get_params(deep=False)
    of_plan = {field.name for field in fields(generator.plan)}
    planned = {}
    for key, value in settings.items():
        if key in of_plan:
            planned[key] = _as_type_of(getattr(generator.plan, key), value, key)
        elif key in own and key not in ("plan", "device"):
            generator.set_params(**{key: _as_type_of(own[key], value, key)})
        elif key in _RENAMED:
            raise InputError(f"the setting {key!r} is now called {_RENAMED[key]!r}.")
        else:
            known = sorted({*own, *of_plan} - {"plan", "device"})
            raise InputError(
                f"{name} has no setting {key!r}; choose from {', '.join(known)}."
            )
    # All at once: some make sense together only.
    generator.plan = replace(generator.plan, **planned)
    return generator


def params_of(generator: JointGenerator) -> dict[str, Any]:
    """Give a generator's parameters and its plan's, JSON-ready."""
    params = dict(generator.get_params(deep=False))
    plan = asdict(params.pop("plan"))
    # Which of several GPUs it is makes no difference.
    return plan | params | {"device": params["device"].split(":")[0]}


def source_settings(source: JointGenerator) -> dict[str, Any]:
    """Give the settings that a generator has which is tuned from a trained one."""
    params = params_of(source)
    return {key: params[key] for key in params if key not in ("device", "random_state")}


def _as_type_of(known: Any, value: Any, name: str) -> Any:
    """Read a setting that came as text."""
    if not isinstance(value, str):
        return value
    try:
        if isinstance(known, bool):
            return _SWITCH[value.lower()]
        if name == "trust":
            return _SWITCH.get(value.lower(), value)
        if isinstance(known, int):
            return int(value)
        if isinstance(known, float):
            return float(value)
        if isinstance(known, tuple):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        if known is None:
            return None if value.lower() == "none" else int(value)
    except (ValueError, KeyError) as error:
        kind = {bool: "true or false", tuple: "names, separated by commas"}.get(
            type(known), "a number"
        )
        raise InputError(f"{name} is {value!r}; expected {kind}.") from error
    return value
