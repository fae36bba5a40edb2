"""Reads a Dockerfile's last stage: what a container of it is told and runs."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"

_INSTRUCTION = re.compile(r"^([A-Z]+)\s+(.*)$", re.DOTALL)
_PAIR = re.compile(r'([\w.]+)=("[^"]*"|\S+)')


@dataclass(frozen=True, slots=True)
class Image:
    environment: dict[str, str]
    entrypoint: list[str]
    command: list[str]
    healthcheck: list[str]
    user: str
    ports: list[int]
    volumes: list[str]


def instructions(text: str) -> list[tuple[str, str]]:
    """Instruction and its arguments, with lines joined and comments gone."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [_INSTRUCTION.match(line.strip()) for line in joined.splitlines() if line.strip()]
    assert all(found), joined
    return [(match[1], match[2].strip()) for match in found if match is not None]


def read_image(path: Path = DOCKERFILE) -> Image:
    everything = instructions(path.read_text("utf-8"))
    last = max(number for number, (name, _) in enumerate(everything) if name == "FROM")
    stage: dict[str, list[str]] = {}
    for name, arguments in everything[last + 1 :]:
        stage.setdefault(name, []).append(arguments)
    return Image(
        environment={name: value.strip('"') for line in stage["ENV"] for name, value in _PAIR.findall(line)},
        entrypoint=json.loads(stage["ENTRYPOINT"][-1]),
        command=json.loads(stage["CMD"][-1]),
        healthcheck=json.loads(stage["HEALTHCHECK"][-1].partition("CMD ")[2]),
        user=stage["USER"][-1],
        ports=[int(port) for port in stage["EXPOSE"]],
        volumes=json.loads(stage["VOLUME"][-1]),
    )
