"""SQL text for statements: SQLAlchemy Core spells them, the driver runs them.

SQLAlchemy's own execution costs about 80 µs a statement; a driver's about 8. So each statement is compiled once for
its dialect, kept as long as the statement object lives, and handed to the driver as text.
"""

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Executable


class CompiledStatement(NamedTuple):
    sql: str
    literals: dict[str, Any]
    """Values that stand in the statement itself; the call's own parameters go on top."""
    order: tuple[str, ...]
    """The names behind $1, $2, …; empty in a dialect whose parameters have names."""


class StatementCache:
    """The compiled form of each statement, in one dialect. For use by one thread, or under the GIL."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled: WeakKeyDictionary[Executable, CompiledStatement] = WeakKeyDictionary()

    def compiled(self, statement: Executable) -> CompiledStatement:
        found = self._compiled.get(statement)
        if found is None:
            text = statement.compile(  # type: ignore[attr-defined]
                dialect=self._dialect, compile_kwargs={"render_postcompile": True}
            )
            # A None that the statement itself holds is a value too; only what the call must bring is left out.
            literals = {name: value for name, value in text.params.items() if not text.binds[name].required}
            found = self._compiled[statement] = CompiledStatement(
                str(text), literals, tuple(text.positiontup or ())
            )
        return found

    def bind(self, statement: Executable, parameters: Any) -> tuple[str, Any]:
        """The text and the values to give to the driver."""
        compiled = self.compiled(statement)
        if not compiled.literals:
            return compiled.sql, parameters or {}
        return compiled.sql, {**compiled.literals, **(parameters or {})}

    def bind_in_order(self, statement: Executable, parameters: Any) -> tuple[str, list[Any]]:
        """The text and the values to give to a driver whose parameters are numbered."""
        compiled = self.compiled(statement)
        values = {**compiled.literals, **(parameters or {})}
        return compiled.sql, [values[name] for name in compiled.order]
