#!/usr/bin/env python3
"""Writes the tables of values in trainyard/README.md from the comments of trainyard/values.yaml.

    helm/readme.py           writes them
    helm/readme.py --check   writes nothing, and fails where they are not what it would write

A comment above a key describes it; a line that begins with `##` opens a table. A key without a comment is described by
those below it.
"""

import json
import sys
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent / "trainyard"
BEGIN = "<!-- Made of values.yaml by helm/readme.py: change the comments there. -->\n"
END = "<!-- End of what helm/readme.py made. -->\n"


def described(lines, line):
    """The comment right above a line, as one text; empty where there is none."""
    words = []
    while line > 0 and lines[line - 1].lstrip().startswith("# "):
        line -= 1
        words.insert(0, lines[line].strip()[2:])
    return " ".join(words)


def rows(lines, node, path=(), line=-1, covered=False):
    """(line, path, default, description) of each key of a mapping and of those below it that have a comment. A key without one is an
    error, but where a comment above it covers it."""
    found = []
    for key, value in node.value:
        at = (*path, key.value)
        # Keys on their parent's line, in braces, have no line for a comment of their own.
        text = described(lines, key.start_mark.line) if key.start_mark.line != line else ""
        below = rows(lines, value, at, key.start_mark.line, covered or bool(text)) if isinstance(value, yaml.MappingNode) else []
        if text:
            default = "" if below else json.dumps(plain(value), ensure_ascii=False)
            found.append((key.start_mark.line, ".".join(at), default, text))
        elif not below and not covered:
            sys.exit(f"values.yaml, line {key.start_mark.line + 1}: '{'.'.join(at)}' has no comment")
        found += below
    return found


def plain(node):
    """A node's value as Python has it."""
    return yaml.safe_load(yaml.serialize(node))


def tables(text):
    """The tables, in Markdown."""
    lines = text.splitlines()
    headings = [(line, content[3:]) for line, content in enumerate(lines) if content.startswith("## ")]
    out = [BEGIN]
    for line, path, default, description in rows(lines, yaml.compose(text)):
        while headings and headings[0][0] < line:
            out.append(f"\n### {headings.pop(0)[1]}\n\n| Value | Default | |\n|---|---|---|\n")
        cell = f"`{default}`" if default else ""
        escaped = [part.replace("|", "\\|") for part in (cell, description)]
        out.append(f"| `{path}` | {escaped[0]} | {escaped[1]} |\n")
    return "".join([*out, "\n", END])


def main():
    readme = CHART / "README.md"
    old = readme.read_text()
    head, rest = old.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    new = head + tables((CHART / "values.yaml").read_text()) + tail
    if sys.argv[1:] == ["--check"]:
        if new != old:
            sys.exit("helm/trainyard/README.md is not what values.yaml says: run helm/readme.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        readme.write_text(new)


if __name__ == "__main__":
    main()
