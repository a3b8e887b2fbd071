"""The CSV of the human Turing test: means, intervals, and errors that name the line."""

import json
from dataclasses import asdict

import pytest

from lfkit.errors import DataError
from lfkit.metrics.turing_test import Rating, read_ratings, summarize_ratings
from lfkit.runs.json_text import to_json

HEADER = "item,source,image_quality,label_match\n"


@pytest.fixture
def written(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "ratings.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_a_downloaded_file_is_read(written):
    path = written(HEADER + '"adp-3","adp",8,9.5\n"real-1","real",10,0\n')
    assert read_ratings(path) == [
        Rating("adp-3", "adp", 8, 9.5),
        Rating("real-1", "real", 10, 0),
    ]


def test_columns_may_stand_in_any_order_among_others_with_a_spreadsheets_mark(written):
    text = "who,label_match,source,item,image_quality\r\nme,1,adp,a,2\r\n"
    assert read_ratings(written(text, "utf-8-sig")) == [Rating("a", "adp", 2, 1)]


def test_mean_and_interval_by_hand():
    ratings = [Rating("i", "adp", quality, 9) for quality in (4, 5, 6)]
    (found,) = summarize_ratings(ratings)
    # t(0.975, 2) = 4.30265; standard deviation 1, n = 3.
    assert (found.source, found.n) == ("adp", 3)
    assert found.image_quality.mean == 5
    assert found.image_quality.low == pytest.approx(5 - 4.30265 / 3**0.5, abs=1e-4)
    assert found.image_quality.high == pytest.approx(5 + 4.30265 / 3**0.5, abs=1e-4)
    assert str(found.label_match) == "9.00 (9.00 to 9.00)"


def test_one_rating_leaves_the_whole_scale_open():
    (found,) = summarize_ratings([Rating("i", "adp", 7, 3)])
    quality = found.image_quality
    assert (quality.mean, quality.low, quality.high) == (7, 0, 10)
    assert "null" not in to_json(asdict(found))
    assert json.loads(to_json(asdict(found)))["n"] == 1


def test_an_interval_ends_where_the_scale_does():
    (found,) = summarize_ratings([Rating("i", "adp", q, 10 - q) for q in (10, 10, 7)])
    assert found.image_quality.high == 10
    assert found.label_match.low == 0


def test_sources_come_by_name_with_real_last():
    ratings = [Rating("i", source, 5, 5) for source in ("real", "wsgan", "adp", "real")]
    found = summarize_ratings(ratings)
    assert [(each.source, each.n) for each in found] == [
        ("adp", 1),
        ("wsgan", 1),
        ("real", 2),
    ]
    assert summarize_ratings([]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has no column item, source, image_quality, label_match; it has none"),
        ("item,source,label_match\na,b,1\n", r"has no column image_quality; it has it"),
        (HEADER, r"ratings.csv has no ratings; expected at least one line"),
        (HEADER + "a,b,1,1\na,b,11,1\n", r"line 3: image_quality is '11'; expected a"),
        (HEADER + "a,b,1,-0.5\n", r"line 2: label_match is '-0.5'; expected a number"),
        (HEADER + "a,b,good,1\n", r"line 2: image_quality is 'good'"),
        (HEADER + "a,b,nan,1\n", r"line 2: image_quality is 'nan'"),
        (HEADER + "a,b,1\n", r"line 2: label_match is ''"),
        (HEADER + "a, ,1,1\n", r"line 2: source is empty; expected a generator's name"),
    ],
)
def test_a_wrong_file_is_refused_by_line(written, text, message):
    with pytest.raises(DataError, match=message):
        read_ratings(written(text))


def test_a_file_that_is_no_csv_or_not_there_is_refused(written, tmp_path):
    with pytest.raises(DataError, match=r"cannot be read .* expected a CSV"):
        read_ratings(written(HEADER + "ä,b,1,1\n", "latin-1"))
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        read_ratings(tmp_path / "none.csv")
