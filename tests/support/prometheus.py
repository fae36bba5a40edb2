"""A real Prometheus of a test's own, and what deploy/ has for it."""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from tests.support.eventually import eventually
from tests.support.ports import free_ports
from tests.support.programs import missing

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy" / "prometheus"
RULES = sorted((DEPLOY / "rules").glob("*.yaml"))
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
PAGES = ROOT / "docs" / "guide"
GUIDE = PAGES / "metrics.md"
STEP = "1s"
STEP_SECONDS = 1.0
_NAME = re.compile(r"\b(?:banyan|envoy)_[a-z_]+")
_LISTED = re.compile(r"^\| `((?:banyan|envoy)_[a-z_]+)[{`]", re.MULTILINE)
_SUFFIX = re.compile(r"_(bucket|sum|count|created)$")


def queries() -> list[str]:
    """Every query of every dashboard."""
    return [
        target["expr"]
        for path in DASHBOARDS
        for panel in json.loads(path.read_text("utf-8"))["panels"]
        for target in panel["targets"]
    ]


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def names_in(text: str) -> set[str]:
    """The metrics that a text speaks of; of a histogram's samples the histogram. Labels that look like one are left out."""
    without_labels = re.sub(r"\bby \([^)]*\)|\{[^}]*\}", "", text)
    return {_SUFFIX.sub("", name) for name in _NAME.findall(without_labels)}


def listed() -> dict[str, str]:
    """The metrics of the guide, with their kinds."""
    lines = GUIDE.read_text("utf-8").splitlines()
    found = [(_LISTED.match(line), line) for line in lines]
    return {match[1]: line.split("|")[2].strip() for match, line in found if match is not None}


def soon_seen(look: Callable[[], T | None], what: str) -> T:
    """What `look` finds, once a scrape or two have brought it. Raises AssertionError, naming `what`."""
    return eventually(look, what, within_seconds=30, every_seconds=STEP_SECONDS / 4)


def program(name: str) -> str:
    return shutil.which(name) or missing(f"{name} is not installed (Debian: prometheus)")


@contextmanager
def prometheus(folder: Path, config: Mapping[str, Any]) -> Iterator[str]:
    """The address of one that runs inside, with our rules and runbooks. config: what else it is told."""
    whole = {
        **config,
        "global": {"scrape_interval": STEP, "scrape_timeout": STEP, "evaluation_interval": STEP},
        "rule_files": [str(path) for path in RULES],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(whole))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={address}",
                f"--web.external-url=http://{address}",
                f"--web.user-assets={PAGES}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def ask(url: str, query: str) -> list[Any] | None:
    """The samples that a query is answered with, those without a number left out; None when that leaves nothing, or
    while nobody answers. Raises AssertionError for what is no query."""
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, trust_env=False, verify=False)
    except httpx.TransportError:
        return None
    if answer.status_code == 503:
        return None
    assert answer.status_code == 200, answer.text
    samples = answer.json()["data"]["result"]
    return [sample for sample in samples if not math.isnan(float(sample["value"][1]))] or None
