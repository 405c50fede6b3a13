"""The README's tables are those of values.yaml."""

import subprocess
import sys
from pathlib import Path


def test_is_up_to_date():
    script = Path(__file__).resolve().parent.parent / "readme.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
