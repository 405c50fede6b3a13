"""A server in a process of its own, on a free loopback port, in a directory of its own, with the tiny model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
START_SECONDS = 30


class Server:
    """A running server; `stop` ends its process and nothing else."""

    def __init__(self, directory: Path, *flags: str) -> None:
        program = os.environ.get("TRAINYARD_BIN", str(ROOT / "target" / "debug" / "trainyard"))
        shutil.copytree(ROOT / "tests" / "fixtures" / "tiny", directory / "data" / "models" / "tiny")
        self.log = directory / "server.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [program, "serve", "--listen", "127.0.0.1:0", "--data-dir", "data", "--bootstrap-key-file", "key", "--log-format", "json",
                 *flags],
                cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self.url = f"http://{self._address()}"
        self.key = (directory / "key").read_text().strip()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def _address(self) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                fields = json.loads(line).get("fields", {}) if line.startswith("{") else {}
                if fields.get("message") == "serving":
                    return str(fields["address"])
            time.sleep(0.02)
        raise AssertionError(f"the server did not start:\n{self.log.read_text()}")
