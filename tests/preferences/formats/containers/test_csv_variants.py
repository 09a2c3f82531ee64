"""The CSV variants that spreadsheet programs and other software write: encodings, delimiters, line endings
and headers."""

from __future__ import annotations

import bz2
import codecs
import json
import lzma
import pickle

import pytest

from preferences.formats.containers import limits
from preferences.formats.containers.csv_header import Dialect, dialect_of
from preferences.records import FormatError
from tests.field_cases import case
from tests.preferences.formats.containers.files import (
    comparisons,
    csv_text,
    good_comparisons,
    reasons,
    records,
)

HEADER = ("prompt", "chosen", "rejected")
ROWS = (("Grüße?\nJa?", "two\r\nlines", "a, b; c\td|e"), ("=1+1", 'say "x"', "没有"))
ENCODINGS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32": b"",
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_csv_is_read_in_each_encoding_with_each_delimiter_and_line_ending(
    encoding: str, delimiter: str, end: str
) -> None:
    text = csv_text(HEADER, *ROWS, end=end, delimiter=delimiter)
    assert comparisons(ENCODINGS[encoding] + text.encode(encoding)) == list(ROWS)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_byte_order_mark_is_read(encoding: str) -> None:
    assert comparisons(csv_text(HEADER, *ROWS).encode(encoding)) == list(ROWS)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("array", [False, True])
def test_json_in_each_encoding_is_read(encoding: str, array: bool) -> None:
    objects = [json.dumps(dict(zip(HEADER, row, strict=True)), ensure_ascii=False) for row in ROWS]
    text = "[" + ",".join(objects) + "]" if array else "\n".join(objects)
    assert comparisons(text.encode(encoding)) == list(ROWS)


def test_json_lines_with_mac_line_endings_are_read() -> None:
    objects = [json.dumps(dict(zip(HEADER, row, strict=True))) for row in ROWS]
    assert comparisons("\r".join(objects).encode()) == list(ROWS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_character_of_a_file_larger_than_one_buffer_is_read(encoding: str, end: str) -> None:
    rows = [(f"é{number}" * 9, "好\r\n" * 20 + str(number), "😀\r" * (number % 40)) for number in range(1500)]
    assert comparisons(csv_text(HEADER, *rows, end=end).encode(encoding)) == rows


def test_overlong_line_with_a_mac_line_ending_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 1000)
    objects = [json.dumps(dict(zip(HEADER, row, strict=True))) for row in (*ROWS, ("Q", "x" * 200_000, "b"))]
    data = "\r".join([objects[0], objects[2], objects[1]]).encode()
    assert good_comparisons(data) == list(ROWS)
    assert reasons(data) == {2: "the line is longer than 1,000 bytes"}


def test_rows_before_a_truncated_utf16_character_are_read() -> None:
    data = csv_text(HEADER, *ROWS, ("last", "a", "b")).encode("utf-16")[:-1]
    assert good_comparisons(data) == list(ROWS)
    assert reasons(data) == {6: "the UTF-16 text is truncated or damaged here; reading stopped"}


def test_lone_surrogate_in_utf16_affects_only_its_row() -> None:
    text = csv_text(HEADER, ("Q", "a\ud83d", "b"), ("R", "c", "d"))
    data = codecs.BOM_UTF16_LE + text.encode("utf-16-le", "surrogatepass")
    assert good_comparisons(data) == [("R", "c", "d")]
    assert "not UTF-8" in reasons(data)[2]


def test_windows_1252_row_is_refused_with_advice_to_save_it_as_utf8() -> None:
    data = csv_text(HEADER, ("Q", "café", "b"), ("R", "c", "d")).encode("cp1252")
    assert good_comparisons(data) == [("R", "c", "d")]
    remedy = "if the file is in another encoding, such as Windows-1252, save it as UTF-8"
    assert reasons(data) == {2: f"not UTF-8: byte 0xe9 is invalid here; {remedy}"}


def test_windows_1252_json_line_is_refused_with_advice_to_save_it_as_utf8() -> None:
    data = '{"prompt": "Q", "chosen": "é", "rejected": "b"}'.encode("cp1252")
    with pytest.raises(FormatError, match="such as Windows-1252, save it as UTF-8"):
        reasons(data)


def test_error_for_a_windows_1252_header_names_the_likely_encoding() -> None:
    data = csv_text((*HEADER, "prénom"), ("Q", "a", "b", "c")).encode("cp1252")
    with pytest.raises(FormatError, match=r"^The CSV header is not UTF-8.*Windows-1252"):
        reasons(data)


def test_separator_line_of_excel_sets_the_delimiter() -> None:
    data = b"sep=;\r\n" + csv_text(HEADER, *ROWS, end="\r\n", delimiter=";").encode()
    assert comparisons(data) == list(ROWS)


def test_error_names_the_repeated_csv_column() -> None:
    with pytest.raises(
        FormatError, match=r"^The CSV header contains the column 'note' twice; rename one of the two\.$"
    ):
        reasons(csv_text((*HEADER, "note", "note"), ("Q", "a", "b", "", "")).encode())


def test_index_column_of_pandas_is_left_out_and_other_unnamed_cells_are_kept() -> None:
    rows = (("", *HEADER, "", ""), ("0", "Q", "a", "b", "extra", ""), ("x7", "R", "c", "d", "", ""))
    found = records(csv_text(*rows).encode())
    assert [record.metadata for record in found] == [{"Unnamed: 4": "extra"}, {"Unnamed: 0": "x7"}]


def test_repeated_byte_order_marks_are_ignored() -> None:
    assert comparisons(codecs.BOM_UTF8 * 2 + csv_text(HEADER, *ROWS).encode()) == list(ROWS)
    line = json.dumps(dict(zip(HEADER, ROWS[0], strict=True))).encode() + b"\n"
    assert comparisons(codecs.BOM_UTF8 + line + codecs.BOM_UTF8 + line) == [ROWS[0]] * 2


def test_repeated_header_of_joined_files_is_reported() -> None:
    data = csv_text(HEADER, ROWS[0]) + csv_text(HEADER, ROWS[1])
    assert good_comparisons(data.encode()) == list(ROWS)
    assert list(reasons(data.encode()).values()) == ["repeats the header; remove this line"]


def test_rows_of_empty_cells_are_treated_as_blank_lines() -> None:
    assert comparisons(b";;\r\nprompt;chosen;rejected\r\n;;\r\nQ;a;b\r\n;;\r\n;;\r\n") == [("Q", "a", "b")]


def test_empty_cells_after_the_last_column_are_ignored() -> None:
    data = b"prompt,chosen,rejected\nQ,a,b,,\nR,c,d,,x\n"
    assert good_comparisons(data) == [("Q", "a", "b")]
    assert reasons(data) == {3: "has 5 cells, but the header has 3"}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (bz2.compress(b"prompt,chosen\n"), "a bzip2 file"),
        (lzma.compress(b"prompt,chosen\n"), "an xz file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a spreadsheet in Excel's old format"),
        (pickle.dumps({"prompt": "Q"}, protocol=4), "a Python pickle"),
    ],
)
def test_error_names_the_kind_of_an_unsupported_file(data: bytes, name: str) -> None:
    with pytest.raises(FormatError, match=f"^This is {name}. Unpack it, or save the data as CSV"):
        reasons(data)


def test_header_and_cells_of_a_semicolon_file_can_contain_commas() -> None:
    text = "prompt;note (a, b);chosen;rejected\nQ;1,5;a;b\n"
    assert records(text.encode())[0].metadata == {"note (a, b)": "1,5"}


@pytest.mark.parametrize(
    ("head", "dialect"),
    [
        ("prompt,chosen,rejected\n", Dialect(",")),
        ("id;user_prompt;Response A;Response B\n", Dialect(";")),
        ("input\tanswer1\tanswer2\n", Dialect("\t")),
        ("key|winnerModel\n", Dialect("|")),
        ("key,summaries\rx,y\r", Dialect(",", mac=True)),
        ("\r\n\r\nid,context\r\n", Dialect(",")),
        ("prompt\nWhat?\n", Dialect(",")),
        ("sep=|\nprompt|chosen\n", Dialect("|")),
        ('"prompt\r\n(text)";"a;b";chosen\r\n', Dialect(";")),
        ('"prompt\n(text)",chosen\rx,y\r', Dialect(",", mac=True)),
        ("title\nprompt\n", None),
        ("sep=;\nid;name\n", None),
        ("id,name\n1,prompt\n", None),
        ('prompt": "Say hello.", "responses": ["a"]}\n', None),
        ("In my response to your question, I must say that this answer is no\n", None),
        ("", None),
        ("\x00\x00prompt\x00,\x00", None),
    ],
)
def test_header_is_recognised_by_its_columns(head: str, dialect: Dialect | None) -> None:
    assert dialect_of(head) == dialect


@pytest.mark.parametrize("name", ["bom_crlf.csv", "semicolon.csv"])
def test_csv_from_a_spreadsheet_program_keeps_line_breaks_in_cells(name: str) -> None:
    assert comparisons(case("18-windows-csv") / name) == [
        ("How are you?\r\nReally?", "Fine,\r\nthanks", "Bad; very"),
        ("=SUM(A1)", "two\r\nlines", "- no"),
    ]


def test_excel_unicode_text_file_is_read() -> None:
    assert comparisons(case("18-windows-csv") / "utf16.txt") == [("Hi", "Hello", "No")]
