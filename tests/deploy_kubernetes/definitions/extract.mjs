// Writes the structure of each custom resource that deploy/ uses as a JSON Schema beside this file: README.md says from
// what, and how to run it.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [packages] = process.argv.slice(2);
const ts = createRequire(join(packages, "/"))("typescript");
const NAMESPACE = "@kubernetes-models";
// Kind by kind: the package, the file in it, and where the package has it from.
const SOURCES = JSON.parse(readFileSync(join(import.meta.dirname, "sources.json"), "utf-8"));
// The paths of the fields that deploy/ sets, such as "Rollout.spec.strategy": only their insides are written down.
const used = new Set(readFileSync(0, "utf-8").split("\n"));

// A field that exists, and whose inside was not taken: a manifest that sets it is refused until it is.
const LEFT_OUT = false;

const program = ts.createProgram(
  SOURCES.map((one) => join(packages, "node_modules", NAMESPACE, one.package, one.file)),
  { moduleResolution: ts.ModuleResolutionKind.Bundler, module: ts.ModuleKind.ESNext, strict: true, noEmit: true },
);
const checker = program.getTypeChecker();

function schemaOf(type, path) {
  if (type.flags & ts.TypeFlags.StringLike) return literal(type) ?? { type: "string" };
  if (type.flags & ts.TypeFlags.NumberLike) return literal(type) ?? { type: "number" };
  if (type.flags & ts.TypeFlags.BooleanLike) return { type: "boolean" };
  if (type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown)) return {};
  if (type.isUnion()) return unionOf(type, path);
  // "These fields, and of them one of …": which of them go together is lost, the fields are not.
  if (type.isIntersection()) return schemaOf(type.types[0], path);
  if (checker.isArrayType(type)) return { type: "array", items: schemaOf(checker.getTypeArguments(type)[0], path) };
  return objectOf(type, path);
}

// Whether it has no fields of its own, so that it can be written down in a line.
function isPlain(type) {
  if (type.isUnion()) return type.types.every(isPlain);
  if (checker.isArrayType(type)) return isPlain(checker.getTypeArguments(type)[0]);
  const index = checker.getIndexTypeOfType(type, ts.IndexKind.String);
  return index ? isPlain(index) : !(type.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection));
}

function literal(type) {
  return type.isLiteral() ? { enum: [type.value] } : undefined;
}

function unionOf(type, path) {
  const parts = type.types.filter((one) => !(one.flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Null)));
  if (parts.every((one) => one.flags & ts.TypeFlags.BooleanLike)) return { type: "boolean" };
  if (parts.every((one) => one.isLiteral())) return { enum: parts.map((one) => one.value).sort() };
  // Alternatives that differ only in what was left out are one.
  const different = [...new Set(parts.map((one) => JSON.stringify(schemaOf(one, path))))].map((one) => JSON.parse(one));
  return different.length === 1 ? different[0] : { anyOf: different };
}

function objectOf(type, path) {
  const index = checker.getIndexTypeOfType(type, ts.IndexKind.String);
  if (index && type.getProperties().length === 0)
    return { type: "object", additionalProperties: schemaOf(index, `${path}.*`) };
  const properties = {};
  const required = [];
  for (const property of type.getProperties()) {
    const inside = `${path}.${property.name}`;
    const isOptional = Boolean(property.flags & ts.SymbolFlags.Optional);
    if (!isOptional) required.push(property.name);
    const itsType = checker.getTypeOfSymbol(property);
    const isTaken = used.has(inside) || !isOptional || isPlain(itsType);
    properties[property.name] = isTaken ? schemaOf(itsType, inside) : LEFT_OUT;
  }
  const sorted = Object.fromEntries(Object.entries(properties).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { type: "object", required: required.sort(), properties: sorted, additionalProperties: false };
}

for (const source of SOURCES) {
  const file = program.getSourceFile(join(packages, "node_modules", NAMESPACE, source.package, source.file));
  const found = file.statements.find((one) => ts.isInterfaceDeclaration(one) && one.name.text === `I${source.kind}`);
  const schema = schemaOf(checker.getTypeAtLocation(found), source.kind);
  const { version } = JSON.parse(
    readFileSync(join(packages, "node_modules", NAMESPACE, source.package, "package.json"), "utf-8"),
  );
  if (version !== source.version) throw new Error(`${source.package} is ${version}, not ${source.version}`);
  const written = { $comment: `${source.of}, through ${NAMESPACE}/${source.package} ${version}`, ...schema };
  writeFileSync(join(import.meta.dirname, `${source.kind}.json`), `${JSON.stringify(written, null, 1)}\n`);
}
