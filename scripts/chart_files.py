"""Copies dashboards and rules into the Helm chart, which can only hold files of its own folder.

    python scripts/chart_files.py            copy
    python scripts/chart_files.py --check    only say what differs; exit code 1 when something does

deploy/grafana/**/*.json that is a dashboard, and deploy/prometheus/**/*.y[a]ml that holds rules, become
deploy/helm/banyan/files/dashboards/*.json and deploy/helm/banyan/files/rules/*.yaml.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"


def wanted(deploy: Path) -> dict[Path, str]:
    """What the chart should hold: path below its `files` → text. Raises ValueError when two files have one name."""
    found: dict[Path, str] = {}
    for place, text in _sources(deploy):
        if place in found:
            raise ValueError(f"two files would be {place}")
        found[place] = text
    return found


def differences(deploy: Path) -> list[Path]:
    """Files of the chart that are missing, differ, or come from nowhere; below its `files`."""
    right, present = wanted(deploy), _present(deploy)
    return sorted(place for place in right.keys() | present.keys() if right.get(place) != present.get(place))


def copy(deploy: Path) -> list[Path]:
    """Make the copies equal. Returns what was changed."""
    right = wanted(deploy)
    changed = differences(deploy)
    for place in changed:
        path = _files(deploy) / place
        if place in right:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(right[place], "utf-8")
        else:
            path.unlink()
    return changed


def _files(deploy: Path) -> Path:
    return deploy / "helm" / "banyan" / "files"


def _present(deploy: Path) -> dict[Path, str]:
    files = _files(deploy)
    return {
        path.relative_to(files): path.read_text("utf-8")
        for folder in ("dashboards", "rules")
        for path in (files / folder).glob("*")
    }


def _sources(deploy: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted((deploy / "grafana").rglob("*.json")):
        text = path.read_text("utf-8")
        if "panels" in json.loads(text):
            yield Path("dashboards") / path.name, text
    for path in sorted((deploy / "prometheus").rglob("*.y*ml")):
        text = path.read_text("utf-8")
        content = yaml.safe_load(text)
        # Prometheus's own configuration and the tests of the rules lie beside them.
        if isinstance(content, dict) and set(content) == {"groups"}:
            yield Path("rules") / f"{path.stem}.yaml", text


def main() -> int:
    if "--check" in sys.argv[1:]:
        different = differences(DEPLOY)
        for place in different:
            print(f"{place} differs: run python scripts/chart_files.py")
        return 1 if different else 0
    for place in copy(DEPLOY):
        print(f"Wrote {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
