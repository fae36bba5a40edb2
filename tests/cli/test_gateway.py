"""`banyan gateway`: the table for people, and the files for Envoy."""

from pathlib import Path

import pytest
import yaml
from tests.support.command_line import banyan
from tests.support.programs import missing

from banyan.fleet.servers.envoy import find_program
from banyan.fleet.servers.server import MissingProgram


def test_routes_are_a_table_for_people_and_json_for_scripts(tmp_path: Path) -> None:
    shown = banyan(["gateway", "routes"], tmp_path / "data")
    assert shown.code == 0
    line = next(line for line in shown.out.splitlines() if line.startswith("/todos/{todo_id} "))
    assert line.split() == ["/todos/{todo_id}", "todos", *["DELETE", "GET", "PATCH", "PUT"] * 2]

    rows = {
        row["path"]: row for row in banyan(["gateway", "routes", "--json"], tmp_path / "data").json_lines()
    }
    assert rows["/todos"] == {
        "path": "/todos",
        "service": "todos",
        "methods": ["DELETE", "GET", "POST"],
        "token_checked": ["DELETE", "GET", "POST"],
        "repeatable_with_key": ["POST"],
        "streams": False,
    }
    assert rows["/events"]["streams"]
    assert rows["/static/…"]["service"] == "users"
    assert not (tmp_path / "data").exists(), "a look leaves nothing behind"


def test_files_are_written_once_and_then_only_what_changed(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    arguments = ["gateway", "render", "--out", str(out), "--replica", "all=127.0.0.1:8001"]
    first = banyan(arguments, data, {"BANYAN_PORT": "8080"})
    assert first.code == 0
    assert "envoy -c" in first.out
    listener = yaml.safe_load((out / "listeners.yaml").read_text())["resources"][0]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8080}
    assert "up to date" in banyan(arguments, data, {"BANYAN_PORT": "8080"}).out

    more = [*arguments, "--replica", "todos=127.0.0.1:8002", "--json"]
    assert banyan(more, data, {"BANYAN_PORT": "8080"}).json()["changed"] == ["endpoints-todos.yaml"]


def test_settings_say_the_same_as_options(tmp_path: Path) -> None:
    settings = {
        "BANYAN_GATEWAY_REPLICAS": "all=10.0.0.1:8000,users=10.0.0.2:8000",
        "BANYAN_GATEWAY_INTERNAL": "users=9101",
    }
    assert banyan(["gateway", "render"], tmp_path / "data", settings).code == 0
    folder = tmp_path / "data" / "gateway"
    endpoints = yaml.safe_load((folder / "endpoints-users.yaml").read_text())["resources"][0]["endpoints"]
    assert len(endpoints[0]["lb_endpoints"]) == 2
    assert (folder / "routes-internal-users.yaml").exists()


def test_envoy_says_whether_it_would_run_by_it(tmp_path: Path) -> None:
    try:
        find_program()
    except MissingProgram as reason:
        missing(str(reason))
    good = banyan(["gateway", "render", "--check"], tmp_path / "data")
    assert (good.code, good.err) == (0, "")
    settings = {
        "BANYAN_GATEWAY_CERTIFICATE": "/nowhere/chain.pem",
        "BANYAN_GATEWAY_KEY": "/nowhere/key.pem",
    }
    bad = banyan(["gateway", "render", "--check"], tmp_path / "data", settings)
    assert bad.code == 1
    assert "Envoy refuses" in bad.err
    assert "/nowhere/" in bad.err
    assert "Traceback" not in bad.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["--replica", "users"], {}, "'users' is not SERVICE=HOST:PORT"),
        (["--replica", "users=127.0.0.1:1"], {}, "no address of todos, notifications"),
        (["--internal", "users=ninety"], {}, "'users=ninety' is not SERVICE=PORT"),
        ([], {"BANYAN_GATEWAY_KEY": "key.pem"}, "belong together"),
    ],
)
def test_a_slip_is_answered_with_a_sentence(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], said: str
) -> None:
    done = banyan(["gateway", "render", *arguments], tmp_path / "data", settings)
    assert done.code == 2
    assert said in done.err
    assert "banyan gateway render --help" in done.err
    assert "Traceback" not in done.err
