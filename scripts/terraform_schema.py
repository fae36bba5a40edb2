"""What Terraform's AWS provider knows of the resources in deploy/terraform, as a file that the tests compare with.

    python scripts/terraform_schema.py FOLDER

FOLDER: the unpacked package of cdktf's prebuilt AWS provider (`lib/<resource>/index.js`), which is generated from the
provider's own schema. Run it when deploy/terraform names a new resource, and commit tests/deploy_terraform/aws_schema.json.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TERRAFORM = ROOT / "deploy" / "terraform"
SCHEMA = ROOT / "tests" / "deploy_terraform" / "aws_schema.json"

CLASS = re.compile(r"^class (\w+) extends cdktf\.(\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
# What may be set …
ENTRY = re.compile(
    r'(\w+): \{\s+value: [^\n]*\n\s+isBlock: (true|false),\s+type: "(\w+)",\s+storageClassType: "(\w+)"'
)
# … what may be read …
GETTER = re.compile(r"this\.(get\w+Attribute)\('(\w+)'\)")
# … and what has fields of its own, which may be either.
STRUCTURE = re.compile(
    r"// \w+ - computed: \w+, optional: \w+, required: (true|false)\n"
    r'\s+this\._\w+ = new (\w+?)(OutputReference|List|Map)\(this, "(\w+)"'
)
READ = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"],
}
STORED = {"string": "string", "number": "number", "boolean": "bool"}


def main(folder: Path) -> None:
    texts = [path.read_text("utf-8") for path in TERRAFORM.rglob("*.tf")]
    known: dict[str, Any] = {"provider": "", "resource": {}, "data": {}}
    for kind, folder_prefix in (("resource", ""), ("data", "data-aws-")):
        names = {
            found[1] for text in texts for found in re.finditer(rf'^{kind} "(aws_\w+)"', text, re.MULTILINE)
        }
        for name in sorted(names):
            source = (
                folder / "lib" / (folder_prefix + name.removeprefix("aws_").replace("_", "-")) / "index.js"
            )
            text = source.read_text("utf-8")
            known["provider"] = re.findall(r"providerVersion: '([\d.]+)'", text)[0]
            known[kind][name] = Reader(text).resource()
    SCHEMA.write_text(_text(known), "utf-8")


def _text(known: dict[str, Any]) -> str:
    """JSON with a line for each resource, so that a change can be read."""
    parts = [f'"provider": "{known["provider"]}"']
    for kind in ("resource", "data"):
        lines = [f'"{name}": {json.dumps(fields, sort_keys=True)}' for name, fields in known[kind].items()]
        parts.append(f'"{kind}": {{\n' + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


class Reader:
    """The structures of one resource, each by the name of its class."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._classes = {name: (base, body) for name, base, body in CLASS.findall(text)}

    def resource(self) -> dict[str, Any]:
        (main,) = [
            name
            for name, (base, _) in self._classes.items()
            if base in ("TerraformResource", "TerraformDataSource")
        ]
        body = self._classes[main][1]
        return self._fields(body, body)

    def _fields(self, body: str, entries: str) -> dict[str, Any]:
        """Name → whether it is `required`, `optional` or `computed`, its type, and the fields of a structure."""
        found: dict[str, Any] = {
            name: {"is": "computed", "type": READ.get(getter, "dynamic")}
            for getter, name in GETTER.findall(body)
        }
        kinds: dict[str, tuple[bool, str]] = {}
        for name, is_block, kind, stored in ENTRY.findall(entries):
            kinds[name] = (is_block == "true", kind)
            camel = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
            found[name] = {"is": "optional" if f"    reset{camel}() {{" in body else "required"}
            element = STORED.get(stored.removesuffix("List").removesuffix("Map"), "dynamic")
            found[name]["type"] = element if kind == "simple" else [kind, element]
        for required, structure, form, name in STRUCTURE.findall(body):
            field = {"is": found[name]["is"] if name in kinds else "computed"}
            if name in kinds and required == "true":
                field["is"] = "required"
            is_block, kind = kinds.get(name, (False, "list"))
            field |= {"block": is_block, "nesting": kind, "once": form == "OutputReference"}
            field["fields"] = self._structure(structure)
            found[name] = field
        return found

    def _structure(self, name: str) -> dict[str, Any]:
        function = name[0].lower() + name[1:] + "ToHclTerraform"
        entries = re.search(rf"^function {function}\(.*?^\}}", self._text, re.MULTILINE | re.DOTALL)
        return self._fields(self._classes[name + "OutputReference"][1], entries[0] if entries else "")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
