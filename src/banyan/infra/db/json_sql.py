"""JSON in SQL, spelled once: what each database calls it is chosen when a statement is compiled.

JSON columns are text in every database, so that a value comes out exactly as it went in.
"""

from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, String, TableValuedAlias, Text, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean, TypeEngine


def json_object(**fields: ColumnElement[Any]) -> ColumnElement[str]:
    """A JSON object as text, its members in this order; a flag is true or false, `json_nested` gives any other JSON."""
    return _Object(*(part for name, value in fields.items() for part in (literal_column(f"'{name}'"), value)))


def json_nested(text: ColumnElement[str]) -> ColumnElement[Any]:
    """Text that holds JSON, as a value inside a `json_object`."""
    return _Nested(text)


def json_texts(array: ColumnElement[str], name: str) -> TableValuedAlias:
    """The texts of a JSON array as rows, each in the column `value`."""
    return _Texts(array).table_valued("value", name=name)


def json_rows(array: ColumnElement[str], name: str) -> TableValuedAlias:
    """The arrays of a JSON array as rows, each in the column `value`; see `json_item`."""
    return _Rows(array).table_valued("value", name=name)


def json_item(row: ColumnElement[Any], index: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    """The item of a row at `index`, as this type; bytes are given as the text that they are in UTF-8."""
    return _Item(row, literal_column(str(index)), type_)


def json_has_items(row: ColumnElement[Any], count: int) -> ColumnElement[bool]:
    """Whether a row of `json_rows` has so many items. Not asked of SQLite, where it is always true."""
    return _HasItems(row, literal_column(str(count)))


class _HasItems(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True


class _Object(FunctionElement[str]):
    type = Text()
    inherit_cache = True


class _Nested(FunctionElement[Any]):
    inherit_cache = True


class _Texts(FunctionElement[Any]):
    inherit_cache = True


class _Rows(FunctionElement[Any]):
    inherit_cache = True


class _Item(FunctionElement[Any]):
    inherit_cache = False  # the type is part of what it renders

    def __init__(self, row: ColumnElement[Any], index: ColumnElement[Any], type_: TypeEngine[Any]) -> None:
        super().__init__(row, index)
        self.type = type_


@compiles(_Object)
def _object(element: _Object, compiler: SQLCompiler, **options: Any) -> str:
    def render(part: ColumnElement[Any]) -> str:
        sql = compiler.process(part, **options)
        # SQLite has no booleans: a flag is a number there.
        return (
            f"json(CASE WHEN {sql} THEN 'true' ELSE 'false' END)" if isinstance(part.type, Boolean) else sql
        )

    return f"json_object({', '.join(map(render, element.clauses))})"


@compiles(_Object, "postgresql")
def _object_postgresql(element: _Object, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_build_object({compiler.process(element.clauses, **options)})"


@compiles(_Nested)
def _nested(element: _Nested, compiler: SQLCompiler, **options: Any) -> str:
    return f"json({compiler.process(element.clauses, **options)})"


@compiles(_Nested, "postgresql")
def _nested_postgresql(element: _Nested, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS JSON)"


@compiles(_Texts)
@compiles(_Rows)
def _each(element: _Texts | _Rows, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_Texts, "postgresql")
def _texts_postgresql(element: _Texts, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS JSON))"


@compiles(_Rows, "postgresql")
def _rows_postgresql(element: _Rows, compiler: SQLCompiler, **options: Any) -> str:
    return f"jsonb_array_elements(CAST({compiler.process(element.clauses, **options)} AS JSONB))"


@compiles(_HasItems)
def _has_items(element: _HasItems, compiler: SQLCompiler, **options: Any) -> str:
    return "1"


@compiles(_HasItems, "postgresql")
def _has_items_postgresql(element: _HasItems, compiler: SQLCompiler, **options: Any) -> str:
    row, count = (compiler.process(part, **options) for part in element.clauses)
    return f"jsonb_array_length({row}) = {count}"


@compiles(_Item)
def _item(element: _Item, compiler: SQLCompiler, **options: Any) -> str:
    row, index = (compiler.process(part, **options) for part in element.clauses)
    item = f"json_extract({row}, '$[{index}]')"
    return f"CAST({item} AS BLOB)" if isinstance(element.type, LargeBinary) else item


@compiles(_Item, "postgresql")
def _item_postgresql(element: _Item, compiler: SQLCompiler, **options: Any) -> str:
    row, index = (compiler.process(part, **options) for part in element.clauses)
    if isinstance(element.type, String):
        # As it is: a cast to VARCHAR(n) would cut what is too long, where storing it must fail.
        return f"({row} ->> {index})"
    if isinstance(element.type, LargeBinary):
        return f"convert_to({row} ->> {index}, 'UTF8')"
    return f"CAST({row} ->> {index} AS {compiler.dialect.type_compiler_instance.process(element.type)})"
