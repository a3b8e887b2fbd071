"""The image part of the fuzz campaign, in small, and that it finds planted faults."""

import itertools

import numpy as np
import pytest

from benchmarks.fuzz import images as fuzz
from lfkit.data.datasets import image_files as files
from lfkit.data.datasets import open_images


def test_the_originals_are_sound(tmp_path):
    for number, (ending, content) in enumerate(fuzz.originals()):
        (tmp_path / f"{number:03}.{ending}").write_bytes(content)
    source = open_images(tmp_path, size=(8, 8), color="rgb")
    assert len(source) == len(fuzz.originals())
    problems = source.read(np.arange(len(source))).problems
    floats = [text for text in problems.values() if "floating-point" in text]
    assert len(problems) == len(floats) == 2


def test_damage_depends_on_the_seed_alone():
    first, again, other = (
        [*fuzz.damaged(np.random.default_rng(seed), 60)] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    changed = {content for _, content in fuzz.originals()}
    assert sum(content not in changed for _, content, _ in first) > 50


def test_no_damaged_image_escapes():
    assert fuzz.check_in_bulk(150, seed=3) == []


def test_a_decoder_that_gives_leftovers_of_memory_is_found(monkeypatch):
    rng = np.random.default_rng()

    def decode(file, *, channels, size, white):
        return rng.integers(0, 256, (*size, channels)).astype(np.uint8)

    monkeypatch.setattr(files, "decode", decode)
    found = fuzz.check_in_bulk(5, seed=0)
    assert any("decodes differently the second time" in line for line in found)


def test_a_decoder_whose_error_escapes_is_found(monkeypatch):
    def fail(self, pixels, row):
        raise RuntimeError("escaped")

    monkeypatch.setattr(files.FileSource, "_read_into", fail)
    with pytest.raises(RuntimeError, match="escaped"):
        fuzz.check_in_bulk(5, seed=0)


def test_a_case_is_a_command_that_names_every_damaged_image(lfkit, tmp_path):
    rng = np.random.default_rng(0)
    (case,) = itertools.islice(fuzz.cases(rng, tmp_path), 1)
    done = lfkit(*case.command)
    assert case.check(case, done.code, done.out + done.err) == ""
    assert len(case.files) == fuzz.FILES_A_CASE
    assert "refused" in case.check(case, 2, "no")
    (case.files[0]).rename(tmp_path / "elsewhere")
    assert lfkit(*case.command).code == 0
    assert case.files[0].name in case.check(case, 0, "")
