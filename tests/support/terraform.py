"""Terraform's files as `python-hcl2` parses them: blocks, and what each expression refers to.

No provider is asked, and nothing is evaluated: this is about what a reader of the text can see.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import hcl2

FOLDER = Path(__file__).parents[2] / "deploy" / "terraform"
BLOCKS = ("variable", "output", "module", "resource", "data", "ephemeral", "provider")
NAMES_OF = {"resource": 2, "data": 2, "ephemeral": 2}
"""How many names such a block has in its heading; one otherwise."""

IDENTIFIER = re.compile(r"[A-Za-z_][\w-]*")
Files = Mapping[str, str]
"""Path below deploy/terraform → text."""


def read_files() -> dict[str, str]:
    suffixes = {".tf", ".tfvars", ".tfbackend", ".tftpl", ".yaml"}
    return {
        path.relative_to(FOLDER).as_posix(): path.read_text("utf-8")
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in suffixes
    }


@cache
def parse(text: str) -> dict[str, Any]:
    """Raises what the parser raises."""
    return hcl2.loads(text)


@dataclass(frozen=True, slots=True)
class Block:
    """One block. kind: `resource`, `variable`, …; name: its names in the heading, joined by a dot."""

    kind: str
    name: str
    body: dict[str, Any]

    @property
    def type(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Module:
    """All files of a folder. locals: name → expression."""

    folder: str
    blocks: list[Block] = field(default_factory=list)
    locals: dict[str, Any] = field(default_factory=dict)
    settings: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of `terraform { … }`."""

    def of_kind(self, kind: str) -> dict[str, Block]:
        return {block.name: block for block in self.blocks if block.kind == kind}

    def calls(self) -> dict[str, str]:
        """The modules that it calls: name → folder."""
        found = {}
        for name, block in self.of_kind("module").items():
            source = PurePosixPath(self.folder, literal(block.body.get("source", "")) or "")
            found[name] = source.as_posix()
        return found


def modules(files: Files) -> dict[str, Module]:
    """Folder → what its files declare; `.` is the root. Raises what the parser raises."""
    found: dict[str, Module] = {}
    for path, text in files.items():
        if not path.endswith(".tf"):
            continue
        folder = PurePosixPath(path).parent.as_posix()
        module = found.setdefault(folder, Module(folder))
        parsed = parse(text)
        for kind in BLOCKS:
            for one in parsed.get(kind, []):
                module.blocks.append(_block(kind, one))
        for one in parsed.get("locals", []):
            module.locals.update(fields(one))
        module.settings.extend(parsed.get("terraform", []))
    return found


def _block(kind: str, body: dict[str, Any]) -> Block:
    names = []
    for _ in range(NAMES_OF.get(kind, 1)):
        ((name, body),) = [(name, inner) for name, inner in body.items() if name != "__is_block__"]
        names.append(unquote(name))
    return Block(kind, ".".join(names), body)


def variables_of(text: str) -> dict[str, Any]:
    """What a file of values sets."""
    return {unquote(name): value for name, value in parse(text).items() if not name.startswith("__")}


def fields(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in body.items():
        if not name.startswith("__"):
            yield unquote(name), value


def is_block(value: object) -> bool:
    """Whether it was written as a block, not as an argument."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and one.get("__is_block__") for one in value)
    )


def unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text.startswith('"') and text.endswith('"') else text


def literal(value: object) -> str | None:
    """The text of a string in which nothing is put in; None for everything else."""
    if isinstance(value, str) and value.startswith('"') and "${" not in value:
        return unquote(value)
    return None


def texts(value: object) -> Iterator[str]:
    """Every expression below a value, keys of objects included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(name, str) and "${" in name:
                yield name
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


@dataclass(frozen=True, slots=True)
class Reference:
    """`var.nodes.min` → root `var`, path (`nodes`, `min`); an index or a splat is the step `[]`. is_call: a function's name."""

    root: str
    path: tuple[str, ...] = ()
    is_call: bool = False

    def __str__(self) -> str:
        return ".".join((self.root, *self.path))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(step for step in self.path if step != "[]")


def references(value: object) -> list[Reference]:
    """All that the expressions of a value refer to. A bare word (a key, a keyword, an iterator) is none of it."""
    found: list[Reference] = []
    for text in texts(value):
        if text.startswith("${") and text.endswith("}"):
            _expression(text[2:-1], found)
        elif text.startswith('"') or "${" in text:
            _template(text, found)
    return found


def iterators(value: object) -> dict[str, Reference]:
    """What `for` expressions call their items → what they go through; an iterator over something else: an empty reference."""
    found: dict[str, Reference] = {}
    for text in texts(value):
        for names, source in re.findall(r"\bfor\s+([\w\s,]+?)\s+in\s+([\w.\[\]\"*]+)", text):
            *keys, item = [name.strip() for name in names.split(",")]
            through = references("${" + source + "}")
            found.update({key: Reference("") for key in keys})
            found[item] = through[0] if through else Reference("")
    return found


def _template(text: str, found: list[Reference]) -> None:
    at = 0
    while (at := text.find("${", at)) >= 0:
        if text[at - 1 : at] == "$":  # `$${` is a dollar and a brace
            at += 2
            continue
        end = _closing(text, at + 1)
        _expression(text[at + 2 : end], found)
        at = end


def _expression(text: str, found: list[Reference]) -> None:
    at = 0
    while at < len(text):
        if text[at] == '"':
            end = _string_end(text, at)
            _template(text[at + 1 : end], found)
            at = end + 1
        elif (word := IDENTIFIER.match(text, at)) and (
            at == 0 or not (text[at - 1].isalnum() or text[at - 1] in "._")
        ):
            at = _chain(text, word, found)
        else:
            at += 1


def _chain(text: str, word: re.Match[str], found: list[Reference]) -> int:
    path: list[str] = []
    at = word.end()
    while at < len(text):
        if text[at] == "." and (step := IDENTIFIER.match(text, at + 1)):
            path.append(step[0])
            at = step.end()
        elif text.startswith(".*", at):
            path.append("[]")
            at += 2
        elif text[at] == "[":
            end = _closing(text, at)
            _expression(text[at + 1 : end], found)
            path.append("[]")
            at = end + 1
        else:
            break
    if text[at : at + 1] == "(" and not path:
        found.append(Reference(word[0], is_call=True))
    elif path:
        found.append(Reference(word[0], tuple(path)))
    return at


def _closing(text: str, at: int) -> int:
    """Where the bracket that opens at `at` is closed."""
    depth = 0
    while at < len(text):
        if text[at] == '"':
            at = _string_end(text, at)
        elif text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise ValueError(f"a bracket that is never closed: {text}")


def _string_end(text: str, at: int) -> int:
    at += 1
    while text[at] != '"':
        if text[at] == "\\":
            at += 1
        elif text.startswith("${", at):
            at = _closing(text, at + 1)
        at += 1
    return at


def planted(files: Mapping[str, str], path: str, there: str, fault: str) -> dict[str, str]:
    """The files with a fault in place of what stands there, once."""
    assert there in files[path]
    return {**files, path: files[path].replace(there, fault, 1)}
