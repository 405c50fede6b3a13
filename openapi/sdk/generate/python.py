"""Writes the generated half of the Python SDK: models (by datamodel-code-generator), resources, and the blocking client.

- `models.py` from the schemas. Limits are left to the server, whose error names field, limit and value, and strings with known
  values stay open, so that an SDK reads the answers of a newer server.
- `_async/resources.py`: one method for each operation.
- `_sync/`: `_async/` without `async` and `await`.

Run: scripts/sdk.sh
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import operations as reading
from operations import Operation, Parameter

PACKAGE = Path(__file__).resolve().parents[1] / "python" / "src" / "trainyard"
TOOLS = Path(sys.executable).parent
# What the server judges, and what would make a client refuse an answer of a newer server.
LIMITS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "pattern",
          "propertyNames", "additionalProperties", "format", "example"}
FORMS = {"UploadFile", "AddUploadPart"}
# Written by hand, not made of `_async`.
APART = {"_io.py", "__init__.py"}


def main() -> None:
    document, found = reading.read()
    schemas = document["components"]["schemas"]
    write_models(schemas)
    write_resources(schemas, found)
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        if source.name not in APART:
            head = f'# Generated from _async/{source.name} by openapi/sdk/generate/python.py: change that file.\n'
            (PACKAGE / "_sync" / source.name).write_text(head + blocking(source.read_text()))
    tidy(PACKAGE / "models.py", PACKAGE / "_async" / "resources.py", PACKAGE / "_sync")


def tidy(*paths: Path) -> None:
    settings = ["--config", str(PACKAGE.parents[1] / "pyproject.toml"), *map(str, paths)]
    subprocess.run([TOOLS / "ruff", "check", "--quiet", "--fix", *settings], check=True)
    subprocess.run([TOOLS / "ruff", "format", "--quiet", *settings], check=True)


def write_models(schemas: dict[str, Any]) -> None:
    left_out = {name for name in schemas if name.startswith("Page_")} | FORMS
    plain = {name for name, schema in schemas.items() if schema.get("type") == "string"}
    # A choice stands where it is used: as a model of its own it would wrap the value that a default gives plainly.
    plain |= {name for name, schema in schemas.items() if "oneOf" in schema}
    kept = {name: opened(schema, schemas, plain) for name, schema in schemas.items() if name not in left_out | plain}
    document = {"openapi": "3.1.0", "info": {"title": "Trainyard", "version": "1"}, "paths": {}, "components": {"schemas": kept}}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "openapi.json"
        source.write_text(json.dumps(document))
        subprocess.run([
            TOOLS / "datamodel-codegen", "--input", source, "--input-file-type", "openapi", "--output", PACKAGE / "models.py",
            "--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.11", "--enum-field-as-literal", "all",
            "--use-annotated", "--use-standard-collections", "--use-union-operator", "--use-schema-description",
            "--use-field-description", "--strict-nullable", "--extra-fields", "allow", "--no-formatters", "--custom-file-header",
            '"""The objects of the API, generated from its OpenAPI document by openapi/sdk/generate/python.py: do not change."""',
        ], check=True)


def opened(schema: Any, schemas: dict[str, Any], plain: set[str]) -> Any:
    """The schema without limits, ids and choices (`plain`) written out, and with lists of known values that take other values too."""
    if isinstance(schema, list):
        return [opened(entry, schemas, plain) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    name = schema["$ref"].rsplit("/", 1)[1] if isinstance(schema.get("$ref"), str) else None
    if name in plain:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        own = {key: schemas[name][key] for key in ("type", "enum", "oneOf") if key in schemas[name]}
        return {**opened(own, schemas, plain), **rest}
    values = schema.get("enum")
    if schema.get("type") == "string" and isinstance(values, list) and len(values) > 1:
        rest = {key: value for key, value in schema.items() if key not in ("type", "enum")}
        return {**rest, "anyOf": [{"type": "string", "enum": values}, {"type": "string"}]}
    result = {}
    for key, value in schema.items():
        if key == "properties":
            result[key] = {name: opened(entry, schemas, plain) for name, entry in value.items()}
        elif key == "additionalProperties" and isinstance(value, dict):
            result[key] = opened(value, schemas, plain)
        elif key == "default" and isinstance(value, dict | list):
            # The server fills it in; a model would hold it as a plain map.
            continue
        elif key not in LIMITS:
            result[key] = opened(value, schemas, plain)
    return result


def write_resources(schemas: dict[str, Any], found: list[Operation]) -> None:
    models = sorted({name for entry in found for name in (entry.answer, entry.body) if name})
    lines = [
        '"""A method for each operation of the API, generated by openapi/sdk/generate/python.py: do not change."""',
        "from __future__ import annotations",
        "from collections.abc import Mapping",
        "from typing import Any, Literal",
        "from trainyard._async.pages import AsyncPages",
        "from trainyard._async.transport import AsyncTransport",
        "from trainyard._call import Call, segment",
        f"from trainyard.models import {', '.join(models)}",
        "class AsyncResource:",
        '    """What every resource holds: the transport."""',
        "    def __init__(self, transport: AsyncTransport) -> None:",
        "        self._transport = transport",
    ]
    for resource, entries in reading.resources(found).items():
        lines.append(f"class Async{resource.capitalize()}Resource(AsyncResource):")
        lines.append(f'    """The operations of `client.{resource}`."""')
        # A method `list` would hide the type in the annotations behind it.
        for entry in sorted(entries, key=lambda entry: entry.name == "list"):
            lines += method(schemas, entry)
    (PACKAGE / "_async" / "resources.py").write_text("\n".join(lines) + "\n")


def method(schemas: dict[str, Any], entry: Operation) -> list[str]:
    arguments = [f"{reading.path_name(parameter.wire)}: str" for parameter in entry.in_path]
    call = [repr(entry.method), path(entry)]
    if entry.body:
        arguments.append(f"body: {entry.body} | Mapping[str, Any]")
        call.append("body=body")
    arguments.append("*")
    arguments += [f"{python_name(parameter.wire)}: {annotation(schemas, parameter)} | None = None" for parameter in entry.query]
    if entry.query:
        call.append("query={" + ", ".join(f"{p.wire!r}: {python_name(p.wire)}" for p in entry.query) + "}")
    if entry.method == "POST":
        arguments.append("idempotency_key: str | None = None")
        call.append("idempotency_key=idempotency_key")
    arguments.append("timeout: float | None = None")
    call.append("timeout=timeout")
    text = [entry.summary, "", *entry.description.splitlines()]
    notes = [f"    {python_name(parameter.wire)}: {parameter.text}." for parameter in entry.query]
    if notes:
        text += ["", "Args:", *notes]
    doc = '        """' + "\n".join(text).rstrip().replace("\n", "\n        ") + '\n        """'
    made = f"Call({', '.join(call)})"
    if entry.page:
        return [f"    def {entry.name}(self, {', '.join(arguments)}) -> AsyncPages[{entry.answer}]:", doc,
                f"        return AsyncPages(self._transport, {entry.answer}, {made})"]
    if entry.answer is None:
        return [f"    async def {entry.name}(self, {', '.join(arguments)}) -> bytes:", doc,
                f"        return await self._transport.content({made})"]
    return [f"    async def {entry.name}(self, {', '.join(arguments)}) -> {entry.answer}:", doc,
            f"        return await self._transport.fetch({entry.answer}, {made})"]


def path(entry: Operation) -> str:
    text = entry.path
    for parameter in entry.in_path:
        text = text.replace("{" + parameter.wire + "}", "{segment(" + reading.path_name(parameter.wire) + ")}")
    return ("f" if entry.in_path else "") + f'"{text}"'


def python_name(wire: str) -> str:
    return wire + "_" if wire in ("from", "import", "class") else wire


def annotation(schemas: dict[str, Any], parameter: Parameter) -> str:
    known = {"string": "str", "integer": "int", "boolean": "bool", "map": "Mapping[str, str]"}
    if parameter.kind in known:
        return known[parameter.kind]
    return f"Literal[{', '.join(map(repr, schemas[parameter.kind]['enum']))}]"


def blocking(text: str) -> str:
    """The same source without `async` and `await`."""
    for pattern, instead in (
        (r"\basync (def|with|for)\b", r"\1"), (r"\basynccontextmanager\b", "contextmanager"), (r"\bawait ", ""), (r"\b_async\b", "_sync"),
        (r"\bAsync([A-Z]\w*)", r"\1"), (r"__a(enter|exit|iter)__", r"__\1__"), (r"\ba(iter_bytes|read|close)\b", r"\1"),
    ):
        text = re.sub(pattern, instead, text)
    return text


if __name__ == "__main__":
    main()
