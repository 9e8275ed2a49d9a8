"""Laws of the manifest: one table in two formats, nothing guessed, nobody in two splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from scldm.core.errors import InputError
from scldm.data.manifest import LANDMARKS, read_manifest

TABLE = """audio,face,person,gender,age_lo,age_hi,split,build,note
a/1.flac,f/1.png,p1,F,20,29,train,10.5,"one, two"
,f/2.png,p1,,,,train,-3.25,
a/3.flac,,p2,M,70,,val,,ü
a/4.flac,f/4.png,,M,0,9,,7,NA
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


def test_empty_stays_empty_and_further_columns_are_kept(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, TABLE))
    assert len(manifest) == 4
    assert list(manifest["note"]) == ["one, two", "", "ü", "NA"]
    assert list(manifest["gender"]) == ["F", "", "M", "M"]
    assert list(manifest["licence"]) == [""] * 4  # the table has no such column
    np.testing.assert_array_equal(manifest.numbers("age_lo"), [20, np.nan, 70, 0])
    np.testing.assert_array_equal(manifest.numbers("build"), [10.5, -3.25, np.nan, 7])
    assert list(manifest.people) == ["p1", "p2", ""]


def test_parquet_is_the_same_as_csv(tmp_path: Path) -> None:
    text = read_manifest(write(tmp_path, TABLE))
    typed = pa.table({
        **{name: list(column) for name, column in text.columns.items()},
        "note": ["one, two", None, "ü", "NA"],
        "gender": pa.array(["F", None, "M", "M"]).dictionary_encode(),
        "age_lo": pa.array([20, None, 70, 0], pa.int16()),
        "age_hi": pa.array([29.0, None, None, 9.0]),
        "build": pa.array([10.5, -3.25, None, 7.0]),
    })  # fmt: skip
    parquet.write_table(typed, tmp_path / "m.parquet")
    same = read_manifest(tmp_path / "m.parquet")
    assert list(same.columns) == list(text.columns)
    for name in text.columns:
        assert list(same[name]) == list(text[name]), name
    assert same.digest == text.digest


def test_the_digest_changes_with_any_cell_row_order_and_column_name(tmp_path: Path) -> None:
    header, *rows = TABLE.splitlines()
    texts = [
        TABLE, TABLE.replace("10.5", "10.6"), TABLE.replace("note", "notes"),
        "\n".join((header, *rows[::-1])), "\n".join((header, *rows[:-1])),
    ]  # fmt: skip
    assert len({read_manifest(write(tmp_path, text)).digest for text in texts}) == len(texts)


def test_selection_by_split_and_by_what_a_row_has(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, TABLE))
    assert list(manifest.select("train")["face"]) == ["f/1.png", "f/2.png"]
    assert list(manifest.select("train", "audio")["face"]) == ["f/1.png"]
    assert len(manifest.select(None, "face")) == 3
    assert manifest.select("val").digest != manifest.digest
    with pytest.raises(InputError, match="no row with face in split val"):
        manifest.select("val", "face")


def test_files_lie_beside_the_table(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, TABLE))
    assert manifest.file(1, "face") == tmp_path / "f" / "2.png"
    assert manifest.select("val").file(0, "audio") == tmp_path / "a" / "3.flac"


def test_landmarks_are_eyes_nose_and_mouth_and_may_be_missing(tmp_path: Path) -> None:
    names = [f"{point}_{axis}" for point in LANDMARKS for axis in "xy"]
    text = f"face,{','.join(names)}\na,{','.join(map(str, range(10)))}\nb,{',' * 9}\n"
    points = read_manifest(write(tmp_path, text)).landmarks()
    np.testing.assert_array_equal(points[0], np.arange(10).reshape(5, 2))
    assert points.shape == (2, 5, 2) and np.isnan(points[1]).all()
    assert np.isnan(read_manifest(write(tmp_path, TABLE)).landmarks()).all()


def test_a_number_that_is_text_names_its_column(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, TABLE.replace("10.5", "tall")))
    with pytest.raises(InputError, match="column build.*tall"):
        manifest.numbers("build")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TABLE.replace(",F,", ",woman,"), "column gender: 'woman' (1 rows); use F, M or nothing"),
        (TABLE.replace(",val,", ",dev,"), "column split: 'dev' (1 rows); use train, val, test"),
        (TABLE.replace("p2", "p1"), "person 'p1' stands in the splits train and val"),
        ("person,gender\np1,F\n", "needs a column 'audio' or 'face'"),
        ("audio,person\n", "no rows"),
        ("", "not a CSV or Parquet table"),
        ("audio,person\na\n", "not a CSV or Parquet table"),
        ("audio,audio\na,b\n", "not a CSV or Parquet table"),
        (b"audio,person\n\xff\xfe,a\n", "not a CSV or Parquet table"),
    ],
)
def test_refusals_name_the_column_and_the_value(
    tmp_path: Path, text: str | bytes, told: str
) -> None:
    assert told in refusal(write(tmp_path, text))


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    assert "no such manifest" in refusal(tmp_path / "none.csv")
    assert "no such manifest" in refusal(tmp_path)
    nested = tmp_path / "nested.parquet"
    parquet.write_table(pa.table({"audio": ["a"], "more": [[1, 2]]}), nested)
    assert "not a CSV or Parquet table" in refusal(nested)
    nested.write_bytes(nested.read_bytes()[:-9])
    assert "not a CSV or Parquet table" in refusal(nested)


def test_the_same_person_may_have_rows_without_a_split(tmp_path: Path) -> None:
    assert len(read_manifest(write(tmp_path, TABLE.replace("p2", "p1").replace("val", "")))) == 4
