#!/usr/bin/env python3
"""Writes trainyard/files/dashboards/*.json.

helm/dashboards/write.py           writes them
helm/dashboards/write.py --check   writes nothing, and fails where they are not what it would write
"""

import json
import sys
from pathlib import Path

import service
import training

import privacy
import scheduler

TARGET = Path(__file__).resolve().parent.parent / "trainyard" / "files" / "dashboards"
DASHBOARDS = {"service": service, "scheduler": scheduler, "training": training, "privacy": privacy}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, module in DASHBOARDS.items():
        path = TARGET / f"{name}.json"
        text = json.dumps(module.make(), indent=1, ensure_ascii=False) + "\n"
        if check and text != path.read_text():
            sys.exit(f"{path.name} is not what helm/dashboards says: run helm/dashboards/write.py")
        if not check:
            path.write_text(text)


if __name__ == "__main__":
    main()
