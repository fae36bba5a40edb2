"""The guide is true of the code: links, names of files, tables, and the example module."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "banyan"
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "load" / "README.md"]
)
EXAMPLE = ROOT / "docs" / "guide" / "adding-a-module.md"

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# A path below src/banyan or the checkout, written as code.
FILE = re.compile(r"`((?:[a-z_.]+/)+[a-z_0-9]+\.(?:py|sh|lua|toml|yml))`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    headings = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        path, _, anchor = link.partition("#")
        if path.startswith(("http://", "https://", "mailto:")):
            continue
        target = (page.parent / path).resolve() if path else page
        is_known = not anchor or target.suffix != ".md" or anchor in anchors(target)
        if not target.exists() or not is_known:
            broken.append(link)
    assert not broken


# The example names files that it makes; test_the_example_module_works makes them.
@pytest.mark.parametrize("page", [page for page in PAGES if page != EXAMPLE], ids=name_of)
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = set(FILE.findall(FENCE.sub("", page.read_text("utf-8"))))
    missing = [path for path in sorted(named) if not any((base / path).exists() for base in (ROOT, SOURCE))]
    assert not missing


def test_every_decision_is_in_the_index_and_every_one_that_the_code_names_exists() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    pages = {page.name for page in folder.glob("0*.md")}
    assert pages == set(re.findall(r"\((0[^)]+\.md)\)", index))
    named = {
        found
        for file in SOURCE.rglob("*.py")
        for found in re.findall(r"docs/decisions/([\w-]+\.md)", file.read_text("utf-8"))
    }
    assert named
    assert named <= pages


@pytest.mark.parametrize("page", ["configuration.md", "api.md"])
def test_the_generated_tables_are_those_of_the_code(
    page: str, generator: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("BANYAN_")]:
        monkeypatch.delenv(name)
    text = (ROOT / "docs" / "guide" / page).read_text("utf-8")
    wanted = generator.brought_up_to_date(text, generator.TABLES[page]())
    assert text == wanted, "run `python scripts/docs.py`"


def test_every_error_code_in_the_api_page_exists() -> None:
    """The first column of codes in the table of errors."""
    page = (ROOT / "docs" / "guide" / "api.md").read_text("utf-8")
    rows = re.findall(r"^\| (?:\d{3}(?:, )?)+ \| ([^|]+) \|", page, re.MULTILINE)
    documented = {code for row in rows for code in re.findall(r"`(\w+)`", row)}
    source = "\n".join(file.read_text("utf-8") for file in SOURCE.rglob("*.py"))
    known = set(re.findall(r'^    code = "(\w+)"', source, re.MULTILINE))
    assert documented
    assert documented <= known


# The example module of the guide, in a copy of the package.

FILE_BLOCK = re.compile(r"^`([\w./]+)`\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
DIFF_BLOCK = re.compile(r"```diff\n(.*?)^```", re.MULTILINE | re.DOTALL)
CHANGED_FILE = re.compile(r"^`(src/[\w./]+)`", re.MULTILINE)


def apply_change(text: str, change: str) -> str:
    """Replace the one place that has the change's context and old lines by its context and new lines."""
    lines = change.splitlines()
    old = "\n".join(line[1:] for line in lines if line[0] in " -")
    new = "\n".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(old) == 1, f"not one place, but {text.count(old)}: {old!r}"
    return text.replace(old, new)


def written_example(folder: Path) -> Path:
    """A copy of the package with everything that the page says; returns the copy's root."""
    shutil.copytree(SOURCE, folder / "src" / "banyan", ignore=shutil.ignore_patterns("__pycache__"))
    page = EXAMPLE.read_text("utf-8")
    module = folder / "src/banyan/modules/habits"
    module.mkdir()
    (module / "__init__.py").touch()
    for path, content in FILE_BLOCK.findall(page):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    for found in DIFF_BLOCK.finditer(page):
        path = CHANGED_FILE.findall(page[: found.start()])[-1]
        file = folder / path
        file.write_text(apply_change(file.read_text("utf-8"), found[1]), "utf-8")
    return folder


USE_IT = """
import asyncio, sys
from pathlib import Path
import banyan
assert Path(banyan.__file__).is_relative_to(sys.argv[1]), banyan.__file__
from banyan.bootstrap import asgi, build
from banyan.infra.db.migrate import upgrade
from banyan.infra.streams.verify import Verifier
from banyan.kernel.events import NewEvent
from banyan.kernel.ids import new_id
from banyan.modules.habits.model import HabitNotFound
from banyan.settings import load_settings
import httpx

async def main():
    settings = load_settings()
    upgrade(settings.database_path)
    application = build(settings)
    infra = application.infra
    user, other = new_id(), new_id()
    async with application.running():
        client = httpx.AsyncClient(transport=httpx.ASGITransport(asgi(application)), base_url="http://localhost")
        def headers(user_id):
            return {"authorization": "Bearer " + infra.token_issuer.issue(user_id, new_id())[0]}
        made = await client.post("/habits", json={"name": "Stretch"}, headers=headers(user))
        assert made.status_code == 201, made.text
        path = f"/habits/{made.json()['id']}/keep"
        await client.post(path, headers=headers(user))
        kept = await client.post(path, headers=headers(user))
        assert kept.json()["kept"] == 1, kept.text
        assert (await client.post(path, headers=headers(other))).json()["code"] == "habit_not_found"
        assert (await client.post("/habits", json={"nome": "x"}, headers=headers(user))).status_code == 422
        folds = [fold for module in application.modules for fold in module.folds]
        found = await Verifier(infra.shards, infra.logs, folds).check(user)
        assert found.events == 2 and not found.differences, found
        async def delete(tx):
            await infra.logs["users"].append(tx, user, [NewEvent("UserDeleted", user)])
        await infra.shards.transact(user, delete)
        while await application.relays[0].publish_waiting():
            pass
        assert (await client.get("/habits", headers=headers(user))).json() == []
        assert not (await Verifier(infra.shards, infra.logs, folds).check(user)).differences

asyncio.run(main())
"""


@pytest.mark.slow
def test_the_example_module_works(tmp_path: Path) -> None:
    copy = written_example(tmp_path / "copy")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}
    environment |= {"PYTHONPATH": str(copy / "src"), "BANYAN_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-c", USE_IT, str(copy)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
