"""What the package imports is declared, and what is declared is locked."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]

# Declared although nothing imports them by name.
USED_BY_OTHERS = {
    "email-validator": "pydantic, for EmailStr",
    "httptools": "uvicorn",
    "python-multipart": "FastAPI, for forms",
    "tzdata": "zoneinfo",
    "uvloop": "uvicorn",
    "websockets": "uvicorn",
}

# Libraries that come with a declared one, at the one version that it fits.
PART_OF = {
    "pydantic-core": "pydantic",
    # Parts of one namespace, which cannot be told apart by the name that is imported.
    "opentelemetry-api": "opentelemetry-sdk",
    "opentelemetry-exporter-http-transport": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-common": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-proto-common": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-proto": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-semantic-conventions": "opentelemetry-sdk",
}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {normalized(re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0]) for line in project["dependencies"]}


def optional() -> set[str]:
    """What the extras for people declare: everything but the tests' and the benchmarks' own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return {
        normalized(re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0])
        for name, lines in extras.items()
        if name not in ("test", "bench")
        for line in lines
        # An extra may hold other extras.
        if not line.startswith("banyan-backend[")
    }


def imported() -> set[str]:
    """The distributions of all libraries that the package imports, lazily or not."""
    graph = grimp.build_graph("banyan", include_external_packages=True, cache_dir=None)
    tops = {module.partition(".")[0] for module in graph.modules} - {"banyan"} - sys.stdlib_module_names
    distributions = packages_distributions()
    names = {normalized(name) for top in tops for name in distributions.get(top, [top])}
    return {PART_OF.get(name, name) for name in names}


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ]+)", text, flags=re.MULTILINE))


def test_each_imported_library_is_declared() -> None:
    assert imported() - declared() - optional() == set()


def test_each_declared_library_is_used() -> None:
    assert declared() - imported() - set(USED_BY_OTHERS) == set()


def test_each_declared_library_is_locked() -> None:
    assert declared() - set(locked("base")) == set()
    assert optional() - set(locked("bench")) == set()
    # The tests use every extra but `plot`, whose absence they test.
    assert optional() - set(locked("test")) == {"matplotlib"}


@pytest.mark.parametrize(("smaller", "larger"), [("base", "fleet"), ("fleet", "test"), ("test", "bench")])
def test_a_lock_holds_the_one_before_it_at_the_same_versions(smaller: str, larger: str) -> None:
    assert locked(smaller).items() <= locked(larger).items()


@pytest.mark.parametrize("name", ["base", "fleet", "test", "bench"])
def test_a_lock_file_pins_with_hashes_and_names_no_host(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^-", text, flags=re.MULTILINE)
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    # A package may be there twice, in one version for each of two Pythons.
    assert [entry.splitlines()[0] for entry in entries if not re.match(r"[a-z0-9.-]+==[^ ]+ ", entry)] == []
    assert {entry.partition("==")[0] for entry in entries} == set(locked(name))
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
