"""The pipeline on GitHub: checked by actionlint and zizmor, and true of what is here."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.dockerfile import ROOT, instructions
from tests.support.programs import missing
from tests.support.server import settings_of

from banyan.gateway.routes import route_table

FOLDER = ROOT / ".github" / "workflows"
PIPELINE = FOLDER / "pipeline.yml"
USES = re.compile(r"^\s*(?:- )?uses: (\S+)(?: +# (\S+))?$", re.MULTILINE)


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return yaml.safe_load(PIPELINE.read_text("utf-8"))["jobs"]


def tool(name: str) -> str:
    program = Path(sys.executable).with_name(name)
    return str(program) if program.exists() else missing(f"{name} is not in the environment")


def steps_of(job: dict[str, Any]) -> str:
    """All that its steps run."""
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(
        [tool("actionlint"), *FOLDER.glob("*.yml")], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_zizmor_finds_nothing() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GH_TOKEN"}
    done = subprocess.run(
        [tool("zizmor"), "--offline", "--no-progress", "--quiet", FOLDER],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_by_its_commit_with_its_version_beside_it() -> None:
    used = USES.findall(PIPELINE.read_text("utf-8"))
    assert used
    for action, version in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r"v\d+\.\d+\.\d+", version), action
    commits: dict[str, set[str]] = {}
    for action, _ in used:
        name, commit = action.split("@")
        commits.setdefault(name, set()).add(commit)
    assert all(len(found) == 1 for found in commits.values()), "one version of each"


def test_three_versions_of_python_are_tested(jobs: dict[str, Any]) -> None:
    versions = jobs["test"]["strategy"]["matrix"]["python"]
    assert len(versions) == 3
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert all(f"Programming Language :: Python :: {version}" in project for version in versions)
    assert f'requires-python = ">={versions[0]}"' in project


def test_nothing_is_released_before_it_was_tested_or_deployed_before_it_was_signed(
    jobs: dict[str, Any],
) -> None:
    assert jobs["image"]["needs"] == ["test", "try-image", "terraform"]
    assert jobs["deploy"]["needs"] == "image"
    order = [step.get("uses", step.get("run", "")) for step in jobs["image"]["steps"]]

    def place(text: str) -> int:
        (found,) = [number for number, step in enumerate(order) if text in step]
        return found

    build, scan, sign = (
        place("docker/build-push-action@"),
        place("anchore/scan-action@"),
        place("cosign sign"),
    )
    assert build < scan < place("anchore/sbom-action@") < sign < place("--tag"), (
        "a version is given at the end"
    )
    deployed = steps_of(jobs["deploy"])
    assert deployed.index("cosign verify") < deployed.index("helm upgrade") < deployed.index("helm rollback")
    assert f"/.github/workflows/{PIPELINE.name}@" in deployed, "the signature names this very workflow"


def test_every_file_and_argument_that_it_names_exists(jobs: dict[str, Any]) -> None:
    text = PIPELINE.read_text("utf-8")
    dockerfiles = set(re.findall(r"deploy/docker/\w+", text))
    assert dockerfiles == {"deploy/docker/Dockerfile"}
    declared = {
        arguments.partition("=")[0]
        for name, arguments in instructions((ROOT / "deploy/docker/Dockerfile").read_text("utf-8"))
        if name == "ARG"
    }
    (build,) = [step for step in jobs["image"]["steps"] if "build-push-action" in step.get("uses", "")]
    passed = {line.partition("=")[0] for line in build["with"]["build-args"].splitlines()}
    assert passed
    assert passed <= declared
    asked = set(re.findall(r"for name in ([A-Z ]+); do", text)[0].split())
    assert {f"{name}_IMAGE" for name in asked} <= declared
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert all(
        re.search(rf"^{target}:", makefile, re.MULTILINE) for target in re.findall(r"\bmake (\w+)", text)
    )


def test_terraform_is_validated_in_a_version_that_each_of_its_roots_takes(jobs: dict[str, Any]) -> None:
    checked = steps_of(jobs["terraform"])
    assert "terraform fmt -check -recursive -diff deploy/terraform\n" in checked + "\n"
    loop = re.search(r"for root in ([^;]+);", checked)
    assert loop is not None
    roots = {
        path.parent.relative_to(ROOT).as_posix()
        for path in (ROOT / "deploy/terraform").rglob("*.tf")
        if "required_version" in path.read_text("utf-8")
    }
    assert set(loop[1].split()) == roots
    (version,) = [
        step["with"]["terraform_version"]
        for step in jobs["terraform"]["steps"]
        if "setup-terraform" in step.get("uses", "")
    ]
    for root in roots:
        texts = "".join(path.read_text("utf-8") for path in (ROOT / root).glob("*.tf"))
        (least,) = re.findall(r'required_version = ">= ([\d.]+)"', texts)
        assert [int(part) for part in version.split(".")] >= [int(part) for part in least.split(".")]


def test_what_the_smoke_test_asks_is_what_the_services_answer(jobs: dict[str, Any]) -> None:
    paths = {path.template: path for path in route_table(settings_of({})).paths}
    text = steps_of(jobs["deploy"])
    assert set(re.findall(r"\$PUBLIC_URL(/\w+)", text)) <= set(paths)
    protected = re.search(r"for path in ([^;]+);", text)
    assert protected is not None
    asked = [paths[path] for path in protected[1].split()]
    assert {path.service for path in asked} == {"users", "todos", "notifications"}, "each service is asked"
    for path in asked:
        assert any(operation.method == "GET" and operation.needs_token for operation in path.operations)
