"""Whether everything that Terraform's files refer to is there, and everything that is there is referred to."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.terraform import (
    Block,
    Files,
    Module,
    Reference,
    fields,
    is_block,
    iterators,
    modules,
    references,
    variables_of,
)

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "deploy_terraform" / "aws_schema.json").read_text("utf-8")
)
# Read in the documentation of these providers: the generated package has neither of them.
RANDOM: dict[str, Any] = {
    "resource": {
        "random_password": {
            "length": {"is": "required"},
            "special": {"is": "optional"},
            "keepers": {"is": "optional"},
            "result": {"is": "computed"},
        }
    }
}
EPHEMERAL: dict[str, Any] = {
    "random_password": {
        "length": {"is": "required"},
        "special": {"is": "optional"},
        "result": {"is": "computed"},
    },
    "aws_secretsmanager_secret_version": {
        "secret_id": {"is": "required"},
        "version_id": {"is": "optional"},
        "version_stage": {"is": "optional"},
        "secret_string": {"is": "computed"},
    },
}
META = {"for_each", "count", "depends_on", "lifecycle", "provider"}
KEYWORDS = {"each", "count", "self", "path", "terraform"}
FUNCTIONS = frozenset(
    re.findall(
        r"\w+",
        """
    abs alltrue anytrue base64decode base64encode can ceil chomp cidrhost cidrnetmask cidrsubnet
    cidrsubnets coalesce coalescelist compact concat contains distinct element endswith file fileexists
    flatten floor format formatlist indent join jsondecode jsonencode keys length log lookup lower max
    md5 merge min nonsensitive one parseint pow range regex regexall replace reverse sensitive
    setintersection setproduct setsubtract setunion sha1 sha256 signum slice sort split startswith
    strcontains strrev substr sum templatefile timeadd timestamp title tobool tolist tomap tonumber
    toset tostring transpose trim trimprefix trimspace trimsuffix try upper urlencode uuid values
    yamldecode yamlencode zipmap
    """,
    )
)


def faults(files: Files) -> list[str]:
    """One sentence each. Raises what the parser raises."""
    known = modules(files)
    found = [fault for module in known.values() for fault in _of_module(module, known)]
    called = {folder for module in known.values() for folder in module.calls().values()}
    found += [
        f"{folder} is called by nobody"
        for folder in known
        if folder.startswith("modules/") and folder not in called
    ]
    return found + list(_unused_outputs(known)) + list(_values(files, known["."]))


def schema_of(block: Block) -> dict[str, Any] | None:
    """The fields of a resource, a data source or an ephemeral resource."""
    if block.kind == "ephemeral":
        return EPHEMERAL.get(block.type)
    return SCHEMA[block.kind].get(block.type) or RANDOM.get(block.kind, {}).get(block.type)


def _of_module(module: Module, known: dict[str, Module]) -> Iterator[str]:
    declared = {
        kind: module.of_kind(kind) for kind in ("variable", "module", "resource", "data", "ephemeral")
    }
    used: set[str] = set()
    places: list[tuple[str, Any]] = [(f"local.{name}", value) for name, value in module.locals.items()]
    for block in module.blocks:
        # A variable that only its own validation looks at is of no use.
        if block.kind != "variable":
            places.append((f"{block.kind} {block.name}", block.body))
        else:
            validation = block.body.get("validation", [])
            own = iterators(validation)
            for reference in references(validation):
                if reference.is_call and reference.root not in FUNCTIONS:
                    yield f"{module.folder}: the validation of {block.name} calls {reference}: no such function"
                elif (
                    not reference.is_call
                    and reference.root not in own
                    and reference.names[:1] != (block.name,)
                ):
                    yield f"{module.folder}: the validation of {block.name} looks at {reference}"
    for place, value in places:
        local = iterators(value) | {name: Reference("") for name in _dynamic_labels(value)}
        for reference in references(value):
            if reference.root in local:
                reference = _through(local[reference.root], reference, known, module)
                if reference is None:
                    continue
            used.add(".".join((reference.root, *reference.names)[:2]))
            used.add(".".join((reference.root, *reference.names)[:3]))
            if fault := _undefined(reference, module, known, declared, value):
                yield f"{module.folder}: {place} refers to {reference}: {fault}"
    for name in declared["variable"]:
        if f"var.{name}" not in used:
            yield f"{module.folder}: var.{name} is used by nobody"
    for name in module.locals:
        if f"local.{name}" not in used:
            yield f"{module.folder}: local.{name} is used by nobody"
    for name in declared["data"]:
        if f"data.{name}" not in used:
            yield f"{module.folder}: data.{name} is used by nobody"
    yield from _calls(module, known)
    for kind in ("resource", "data", "ephemeral"):
        for block in declared[kind].values():
            schema = schema_of(block)
            if schema is None:
                yield f"{module.folder}: {kind} {block.type} is not known to the provider"
            else:
                for fault in _misshapen(block.body, schema, META):
                    yield f"{module.folder}: {kind} {block.name}: {fault}"


def _dynamic_labels(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "dynamic" and isinstance(inner, list):
                yield from (label for one in inner for label, _ in fields(one))
            yield from _dynamic_labels(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _dynamic_labels(inner)


def _through(
    source: Reference, reference: Reference, known: dict[str, Module], module: Module
) -> Reference | None:
    """What an iterator's item refers to, when it goes through modules or resources; None for other values."""
    if source.root == "module" and len(source.names) == 1:
        called = known.get(module.calls().get(source.names[0], ""))
        if called is not None:
            return Reference("module", (*source.names, *reference.names))
    if source.root.startswith("aws_") and len(source.names) == 1:
        return Reference(source.root, (*source.names, *reference.names))
    return None


def _undefined(
    reference: Reference,
    module: Module,
    known: dict[str, Module],
    declared: dict[str, dict[str, Block]],
    place: Any,
) -> str | None:
    root, names = reference.root, reference.names
    if reference.is_call:
        return None if root in FUNCTIONS else "no such function"
    if root in KEYWORDS:
        if root in ("each", "count") and "for_each" not in place and "count" not in place:
            return "outside of for_each and count"
        return None
    if root == "var":
        return None if names[0] in declared["variable"] else "no such variable"
    if root == "local":
        return None if names[0] in module.locals else "no such local value"
    if root == "module":
        called = known.get(module.calls().get(names[0], ""))
        if called is None:
            return "no such module"
        return None if len(names) < 2 or names[1] in called.of_kind("output") else "no such output"
    kind = root if root in ("data", "ephemeral") else "resource"
    address = names if kind != "resource" else (root, *names)
    block = declared[kind].get(".".join(address[:2]))
    if block is None:
        # What `ignore_changes` names are fields of its own resource.
        own = place.get("lifecycle", [{}])[0].get("ignore_changes", []) if isinstance(place, dict) else []
        return None if any(str(reference) == str(one) for one in references(own)) else "nobody declares it"
    schema = schema_of(block)
    return _missing_field(address[2:], schema) if schema is not None else None


def _missing_field(names: tuple[str, ...], schema: dict[str, Any]) -> str | None:
    for name in names:
        if name not in schema:
            return f"it has no {name}"
        schema = schema[name].get("fields", {})
        if not schema:
            return None
    return None


def _misshapen(body: dict[str, Any], schema: dict[str, Any], also: set[str]) -> Iterator[str]:
    """Fields that the provider does not know, that are missing, or that are written the wrong way."""
    given: set[str] = set()
    for name, value in fields(body):
        if name == "dynamic":
            for one in value:
                for label, inner in fields(one):
                    given.add(label)
                    yield from _block_in(label, inner["content"], schema)
        elif name not in also:
            given.add(name)
            if name not in schema or schema[name]["is"] == "computed":
                yield f"{name} cannot be set"
            elif is_block(value):
                yield from _block_in(name, value, schema)
            elif schema[name].get("block"):
                yield f"{name} is a block"
    for name, known in schema.items():
        if known["is"] == "required" and name not in given:
            yield f"{name} is missing"


def _block_in(name: str, bodies: list[dict[str, Any]], schema: dict[str, Any]) -> Iterator[str]:
    if not schema.get(name, {}).get("block"):
        yield f"{name} is no block"
        return
    if schema[name]["once"] and len(bodies) > 1:
        yield f"{name} stands there twice"
    for body in bodies:
        for fault in _misshapen(body, schema[name]["fields"], set()):
            yield f"{name}: {fault}"


def _calls(module: Module, known: dict[str, Module]) -> Iterator[str]:
    calls = module.calls()
    for name, block in module.of_kind("module").items():
        called = known.get(calls[name])
        if called is None:
            yield f"{module.folder}: module {name} is nowhere"
            continue
        inputs = called.of_kind("variable")
        given = {field for field, _ in fields(block.body)} - META - {"source", "providers"}
        for one in sorted(given - set(inputs)):
            yield f"{module.folder}: module {name} is given {one}, which it does not take"
        for one, variable in inputs.items():
            if one not in given and "default" not in variable.body:
                yield f"{module.folder}: module {name} is not given {one}"


def _unused_outputs(known: dict[str, Module]) -> Iterator[str]:
    read: set[tuple[str, str]] = set()
    for module in known.values():
        calls = module.calls()
        for value in [*module.locals.values(), *(block.body for block in module.blocks)]:
            local = iterators(value)
            for reference in references(value):
                found = (
                    _through(local[reference.root], reference, known, module)
                    if reference.root in local
                    else reference
                )
                if found is not None and found.root == "module" and len(found.names) > 1:
                    read.add((calls.get(found.names[0], ""), found.names[1]))
    for folder, module in known.items():
        for name in module.of_kind("output") if folder.startswith("modules/") else ():
            if (folder, name) not in read:
                yield f"{folder}: output {name} is read by nobody"


def _values(files: Files, root: Module) -> Iterator[str]:
    """Files of values set what is declared, and all that has no default."""
    variables = root.of_kind("variable")
    for path in files:
        if not path.endswith(".tfvars"):
            continue
        given = variables_of(files[path])
        for name in given:
            if name not in variables:
                yield f"{path}: {name} is not declared"
                continue
            yield from (f"{path}: {name}: {fault}" for fault in _other_fields(given[name], variables[name]))
        for name, variable in variables.items():
            if name not in given and "default" not in variable.body:
                yield f"{path}: {name} is missing"


def _other_fields(value: Any, variable: Block) -> Iterator[str]:
    """An object has exactly the fields of its type."""
    kind = str(variable.body.get("type", ""))
    declared = re.search(r"object\(\{(.*)\}\)", kind, re.DOTALL)
    if declared is None:
        return
    wanted = set(re.findall(r"(\w+)\s*=", declared[1]))
    objects = value.values() if kind.removeprefix("${").startswith("map(") else [value]
    for one in objects:
        if isinstance(one, dict) and (others := wanted ^ {name for name, _ in fields(one)}):
            yield f"its fields are not those of its type: {', '.join(sorted(others))}"
