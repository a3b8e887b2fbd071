"""A table of features by name, which imports a feature's file when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature


class FeatureTable(Mapping[str, Feature]):
    """Features by name; reading the names imports nothing.

    Parameters
    ----------
    files : names of the features in each file of `lfkit.features`, with spaces between.

    Attributes
    ----------
    file_of : the file of each name.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.file_of = {
            name: file for file, names in files.items() for name in names.split()
        }

    def __getitem__(self, name: str) -> Feature:
        """Return the feature of this name; a factory's with its default arguments."""
        file = self.file_of[name]
        found = getattr(import_module(f"lfkit.features.{file}"), name, None)
        if found is None:
            raise DeclarationError(
                f"FEATURES names the feature {name!r} in features/{file}.py, which "
                "defines no such name; correct the table or the file."
            )
        return found if isinstance(found, Feature) else found()

    def __iter__(self) -> Iterator[str]:
        return iter(self.file_of)

    def __len__(self) -> int:
        return len(self.file_of)
