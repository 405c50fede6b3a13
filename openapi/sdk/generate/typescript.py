"""Writes the generated half of the TypeScript SDK: types (by openapi-typescript) and one method for each operation.

Run: scripts/sdk.sh, which names the program of openapi-typescript as the one argument.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import operations as reading
from operations import Operation, Parameter

PROJECT = Path(__file__).resolve().parents[1] / "typescript"
OUT = PROJECT / "src" / "generated"
HEAD = "// Generated from the API's OpenAPI document by openapi/sdk/generate/typescript.py: do not change.\n"


def main() -> None:
    document, found = reading.read()
    schemas = {name: schema for name, schema in document["components"]["schemas"].items() if not name.startswith("Page_")}
    write_types(schemas)
    write_resources(found)


def write_types(schemas: dict[str, object]) -> None:
    # Only the schemas: the operations are methods, whose types stand in resources.ts.
    document = {"openapi": "3.1.0", "info": {"title": "Trainyard", "version": "1"}, "paths": {}, "components": {"schemas": schemas}}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "openapi.json", Path(folder) / "types.ts"
        source.write_text(json.dumps(document))
        subprocess.run([
            sys.argv[1], source, "--output", target, "--root-types",
            "--root-types-no-schema-prefix", "--default-non-nullable", "false",
        ], check=True, stdout=subprocess.DEVNULL)
        text = target.read_text()
    # What has no operations in it says nothing.
    text = re.sub(r"export type (paths|webhooks|\$defs|operations) = Record<string, never>;\n", "", text)
    (OUT / "types.ts").write_text(HEAD + text.split("*/\n", 1)[1].lstrip("\n"))


def write_resources(found: list[Operation]) -> None:
    kinds = {parameter.kind for entry in found for parameter in entry.query} - {"string", "integer", "boolean", "map"}
    types = sorted({name for entry in found for name in (entry.answer, entry.body) if name} | kinds)
    lines = [
        HEAD,
        'import { Pages } from "../pages.js";',
        'import { Resource, segment } from "../resource.js";',
        'import type { RequestOptions } from "../transport.js";',
        "import type {",
        *(f"  {name}," for name in types),
        '} from "./types.js";',
        "",
    ]
    for resource, entries in reading.resources(found).items():
        lines += [f"/** The operations of `client.{resource}`. */", f"export class {resource.capitalize()}Resource extends Resource {{"]
        for entry in entries:
            lines += method(entry)
        lines[-1:] = ["}", ""]
    (OUT / "resources.ts").write_text("\n".join(lines).rstrip() + "\n")


def method(entry: Operation) -> list[str]:
    arguments = [f"{camel(reading.path_name(parameter.wire))}: string" for parameter in entry.in_path]
    call = [f'method: "{entry.method}"', f"path: {path(entry)}"]
    if entry.body:
        arguments.append(f"body: {entry.body}")
        call.append("body")
    if entry.query:
        fields = "; ".join(f"{parameter.wire}?: {kind(parameter)}" for parameter in entry.query)
        arguments.append(f"query: {{ {fields} }} = {{}}")
        call.append("query")
    arguments.append("options: RequestOptions = {}")
    text = [entry.summary, "", *entry.description.splitlines()]
    notes = [f"@param query.{parameter.wire} {parameter.text}." for parameter in entry.query]
    text += ["", *notes] if notes else []
    while text and not text[-1]:
        text.pop()
    doc = ["  /**", *(f"   * {line}".rstrip() for line in text), "   */"]
    made = f"{{ {', '.join(call)} }}"
    if entry.page:
        signature, body = f"Pages<{entry.answer}>", f"new Pages<{entry.answer}>(this.transport, {made}, options)"
    elif entry.answer is None:
        signature, body = "Promise<Response>", f"this.transport.send({made}, options)"
    else:
        signature, body = f"Promise<{entry.answer}>", f"this.transport.json<{entry.answer}>({made}, options)"
    return [*doc, f"  {camel(entry.name)}({', '.join(arguments)}): {signature} {{", f"    return {body};", "  }", ""]


def kind(parameter: Parameter) -> str:
    known = {"string": "string", "integer": "number", "boolean": "boolean", "map": "Record<string, string>"}
    return known.get(parameter.kind, parameter.kind)


def path(entry: Operation) -> str:
    text = entry.path
    for parameter in entry.in_path:
        text = text.replace("{" + parameter.wire + "}", "${segment(" + camel(reading.path_name(parameter.wire)) + ")}")
    return f"`{text}`" if entry.in_path else f'"{text}"'


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


if __name__ == "__main__":
    main()
