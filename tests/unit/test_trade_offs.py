"""The page of what settings trade has every setting, once, and none that is not there."""

import re
from pathlib import Path

from banyan.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "trade-offs.md"
ROW = re.compile(r"^\| `(BANYAN_\w+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
NAME = re.compile(r"`(BANYAN_\w+)`")


def parts() -> tuple[str, str]:
    """The tables, and the list of settings that trade nothing."""
    tables, _, rest = PAGE.read_text("utf-8").partition("## What is no trade")
    return tables, rest


def test_every_setting_is_there_once() -> None:
    tables, rest = parts()
    named = [row[0] for row in ROW.findall(tables)] + NAME.findall(rest)
    assert sorted(named) == sorted(f"BANYAN_{name.upper()}" for name in Settings.model_fields)


def test_every_row_of_a_table_is_one_of_those() -> None:
    tables, _ = parts()
    rows = [line for line in tables.splitlines() if line.startswith("| `")]
    assert len(rows) == len(ROW.findall(tables))
