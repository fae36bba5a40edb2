"""Fault points: named, counted, and never by accident."""

import os
import signal
import subprocess
import sys

import pytest
from pydantic import SecretStr

from banyan.infra import faults
from banyan.settings import Settings


@pytest.mark.parametrize(
    ("text", "expected"), [("after-commit", ("after-commit", 1)), ("after-publish:7", ("after-publish", 7))]
)
def test_a_fault_is_a_point_and_a_count(text: str, expected: tuple[str, int]) -> None:
    assert faults.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "elsewhere", "after-commit:", "after-commit:0", "after-commit:-1", "after-commit:x"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="after-commit"):
        faults.parse(text)


def test_the_process_dies_when_it_comes_by_for_the_nth_time() -> None:
    script = """
from banyan.infra import faults
faults.fault_point("after-commit")
faults.arm("after-commit:2")
for passed in range(5):
    faults.fault_point("before-publish")
    print(passed, flush=True)
    faults.fault_point("after-commit")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1"]


def test_production_refuses_to_start_with_a_fault() -> None:
    assert "BANYAN_FAULT" not in os.environ
    with pytest.raises(ValueError, match="BANYAN_FAULT"):
        Settings(  # pyright: ignore[reportCallIssue]  # the rest has defaults
            env="production",
            secret_key=SecretStr("x7" * 30),
            public_url="https://example.org",
            fault="after-commit",
        )
