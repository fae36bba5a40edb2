"""The web application's service worker knows every file, and every release."""

import re
from pathlib import Path

import pytest

from banyan.infra.http import web


def kept_by_the_worker() -> set[str]:
    """The files below static/ that sw.js lists, by the way it builds their names."""
    text = web.service_worker()
    groups = {
        "js": re.search(r"const SCRIPTS = \[(.*?)\];", text, re.DOTALL),
        "css": re.search(r"const STYLES = \[(.*?)\];", text, re.DOTALL),
        "svg": re.search(r"\.\.\.\[([^\]]*)\]\.map\(\(name\) => `/static/img/", text),
        "woff2": re.search(r"\.\.\.\[([^\]]*)\]\.map\(\(name\) => `/static/fonts/", text),
    }
    folder = {"js": "js", "css": "css", "svg": "img", "woff2": "fonts"}
    listed: set[str] = set()
    for ending, found in groups.items():
        assert found is not None, f"sw.js no longer lists its {ending} files where this test looks"
        listed |= {f"{folder[ending]}/{name}.{ending}" for name in re.findall(r'"([^"]+)"', found[1])}
    return listed


def test_every_file_of_the_application_is_kept_for_offline_use() -> None:
    files = {
        str(path.relative_to(web.WEB / "static"))
        for path in (web.WEB / "static").rglob("*")
        if path.suffix in (".js", ".css", ".svg", ".woff2")
    }
    assert len(files) > 40
    assert kept_by_the_worker() == files


def test_the_version_changes_with_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "sw.js").write_text('const VERSION = "{{version}}";')
    (tmp_path / "static" / "app.js").write_text("one")
    monkeypatch.setattr(web, "WEB", tmp_path)
    first = web.service_worker.__wrapped__()
    assert re.fullmatch(r'const VERSION = "[0-9a-f]{16}";', first)
    assert web.service_worker.__wrapped__() == first
    (tmp_path / "static" / "app.js").write_text("two")
    assert web.service_worker.__wrapped__() != first


def test_the_page_says_which_share_of_its_requests_is_to_be_recorded() -> None:
    for share, told in ((None, ""), (0.0, "0"), (0.01, "0.01")):
        assert f'<meta name="trace-share" content="{told}">' in web.page(share)
        assert "{{" not in web.page(share)
