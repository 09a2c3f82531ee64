"""The part of an exception's message that can be logged.

Messages often contain the value that caused the error: a prompt, an answer, a password. A database error
contains the row (`DETAIL: Key (email)=(…)`). Logs are read by more people than the database and are kept
elsewhere, so only text that is part of the program is logged. All other text becomes `…`.
"""

from __future__ import annotations

import builtins
import re
import traceback
from collections.abc import Iterator
from dis import opname
from types import CodeType, FunctionType
from typing import Any

HIDDEN = "…"
_MAX_CHARACTERS = 300
# A constant is logged only if it has at least this many characters and contains a space. Shorter constants
# and single words, most of which are field names, can occur in values by coincidence.
_SHORTEST_CONSTANT = 4
# The constant parts of a message are separated by placeholders of %-formatting and of str.format.
_PLACEHOLDERS = re.compile(r"%(?:\(\w*\))?[-+ #0-9.]*[sdrifgxc%]|\{[^{}]*\}")
_QUOTED = re.compile(r'"([^"]*)"')
# For exceptions of these types, the interpreter's messages name code and types, never values.
_ABOUT_CODE = (
    *(AttributeError, NameError, ImportError, TypeError, IndexError, RecursionError),
    *(MemoryError, ZeroDivisionError, NotImplementedError),
)


def safe_message(error: BaseException) -> str:
    """The error's message without values. Empty if nothing is left."""
    try:
        message = " ".join(_safe(error).split())
    except Exception:  # logging must never raise an exception
        return ""
    return message if len(message) <= _MAX_CHARACTERS else message[:_MAX_CHARACTERS] + HIDDEN


def _safe(error: BaseException) -> str:
    if _is_database_error(error):
        return _of_database(error)
    if isinstance(error, OSError) and error.errno is not None and error.strerror is not None:
        file = "" if error.filename is None else f": {error.filename}"
        return f"[Errno {error.errno}] {error.strerror}{file}"
    text = str(error)
    if not text:
        return ""
    if not _raised_by_code(error):
        if type(error).__module__ != builtins.__name__:
            return HIDDEN  # extension modules, such as parsers, quote their input without quotation marks
        first = text.split("\n", 1)[0]
        return first if isinstance(error, _ABOUT_CODE) else _before_quotes(first)
    return _constant_parts(text, set(_constants(error)))


def _is_database_error(error: BaseException) -> bool:
    names = {f"{kind.__module__.split('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    return bool(names & {"psycopg.Error", "django.Error", "django.DatabaseError", "django.InterfaceError"})


def _of_database(error: BaseException) -> str:
    """The SQLSTATE and the first line, without DETAIL, CONTEXT and the statement. The line ends before the
    first quoted part that is not a name from the schema, because invalid input is quoted in the same way."""
    diagnosis: Any = getattr(error, "diag", None) or getattr(error.__cause__, "diag", None)
    state = getattr(diagnosis, "sqlstate", None)
    first = str((diagnosis.message_primary if state else None) or error).split("\n", 1)[0]
    attributes = ("constraint_name", "table_name", "column_name", "schema_name", "datatype_name")
    names = {getattr(diagnosis, name, None) for name in attributes}
    end = next((found.start() for found in _QUOTED.finditer(first) if found[1] not in names), None)
    text = first if end is None else first[:end] + HIDDEN
    return f"[{state}] {text}" if state else text


def _before_quotes(text: str) -> str:
    found = re.search(r"['\"`]", text)
    return text if found is None else text[: found.start()] + HIDDEN


def _raised_by_code(error: BaseException) -> bool:
    """Whether a `raise` statement raised the error, rather than the interpreter or an extension module."""
    position = error.__traceback__
    if position is None:
        return True
    while position.tb_next is not None:
        position = position.tb_next
    code = position.tb_frame.f_code.co_code
    return opname[code[position.tb_lasti]] in {"RAISE_VARARGS", "RERAISE"}


def _constants(error: BaseException) -> Iterator[str]:
    """The constant parts of message texts: the string constants of the functions in the traceback and of the
    error's class, split at placeholders."""
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    for kind in type(error).__mro__:
        methods = (vars(kind).get(name) for name in ("__init__", "__str__"))
        codes += [method.__code__ for method in methods if isinstance(method, FunctionType)]
    for code in codes:
        for constant in _texts(code):
            for part in _PLACEHOLDERS.split(constant):
                if len(part) >= _SHORTEST_CONSTANT and " " in part:
                    yield part


def _texts(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple):
            yield from (each for each in constant if isinstance(each, str))


def _constant_parts(text: str, constants: set[str]) -> str:
    """The text, with everything except the constants replaced."""
    known = sorted((each for each in constants if each in text), key=len, reverse=True)
    if not known:
        return HIDDEN
    parts = re.split("(" + "|".join(re.escape(each) for each in known) + ")", text)
    return "".join(part if place % 2 else HIDDEN * bool(part.strip()) for place, part in enumerate(parts))
