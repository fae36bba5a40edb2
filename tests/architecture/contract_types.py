"""Import rules that import-linter does not bring along; pyproject.toml names them in `contract_types`."""

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class StandardLibraryOnly(Contract):
    """The packages import themselves and the standard library, and nothing else.

    Its allow-list needs no care: a library that is added to the project is refused at once, where a `forbidden` contract
    would have to be told its name.

    packages: the packages that keep the rule, everything below them included.
    """

    type_name = "standard_library_only"

    packages = fields.ListField(subfield=fields.ModuleField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        offences: list[dict[str, object]] = []
        for package in self.packages:  # pyright: ignore[reportGeneralTypeIssues]  # fields turn into values on construction
            own = {package.name} | graph.find_descendants(package.name)
            for importer in sorted(own):
                for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                    if imported in own or imported.partition(".")[0] in sys.stdlib_module_names:
                        continue
                    lines = [
                        d["line_number"]
                        for d in graph.get_import_details(importer=importer, imported=imported)
                    ]
                    offences.append({"importer": importer, "imported": imported, "lines": lines})
        return ContractCheck(kept=not offences, metadata={"offences": offences})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for offence in check.metadata["offences"]:
            lines = ", ".join(f"l.{line}" for line in offence["lines"])
            output.print_error(f"{offence['importer']} -> {offence['imported']} ({lines})", bold=False)
        output.new_line()
