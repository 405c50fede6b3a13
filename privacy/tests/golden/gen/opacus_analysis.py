"""Loads the accountants of Opacus by path: `import opacus` would import torch, which they do not need."""

import importlib.metadata
import importlib.util
import sys
import types
from pathlib import Path

import scipy.signal  # noqa: F401 - before the stub of torch stands, which it would take for the library


def _package(name: str, path: Path) -> None:
    module = types.ModuleType(name)
    module.__path__ = [str(path)]
    sys.modules[name] = module


def load():
    """(rdp, prv, accountants): the analysis of RDP, that of PRV, and the accountant classes by name."""
    root = Path(importlib.metadata.distribution("opacus").locate_file("opacus")) / "accountants"
    sys.modules["torch"] = types.ModuleType("torch")
    optim = types.ModuleType("opacus.optimizers")
    optim.DPOptimizer = object
    _package("opacus", root.parent)
    sys.modules["opacus.optimizers"] = optim
    _package("opacus.accountants", root)
    _package("opacus.accountants.analysis", root / "analysis")
    names = ["analysis.rdp", "analysis.prv", "accountant", "rdp", "prv"]
    modules = {n: importlib.import_module(f"opacus.accountants.{n}") for n in names}
    del sys.modules["torch"]
    return modules["analysis.rdp"], modules["analysis.prv"], {
        "rdp": modules["rdp"].RDPAccountant,
        "prv": modules["prv"].PRVAccountant,
    }
