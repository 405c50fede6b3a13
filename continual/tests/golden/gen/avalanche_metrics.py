"""Loads the metric classes of Avalanche by path: `import avalanche` would import its benchmarks and models, which they do not need."""

import importlib
import importlib.metadata
import sys
import types
from pathlib import Path


def _package(name: str, path: Path) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__path__ = [str(path)]
    sys.modules[name] = module
    return module


def load():
    """(Mean, StreamForgetting, StreamBWT, StreamForwardTransfer): Avalanche's own classes."""
    root = Path(importlib.metadata.distribution("avalanche-lib").locate_file("avalanche"))
    _package("avalanche", root)
    importlib.import_module("avalanche.evaluation")
    metrics = _package("avalanche.evaluation.metrics", root / "evaluation" / "metrics")
    # What the metric files import from their package, which here has no __init__ of its own.
    metrics.Mean = importlib.import_module("avalanche.evaluation.metrics.mean").Mean
    accuracy = importlib.import_module("avalanche.evaluation.metrics.accuracy")
    metrics.TaskAwareAccuracy = accuracy.TaskAwareAccuracy
    forgetting = importlib.import_module("avalanche.evaluation.metrics.forgetting_bwt")
    transfer = importlib.import_module("avalanche.evaluation.metrics.forward_transfer")
    return metrics.Mean, forgetting.StreamForgetting, forgetting.StreamBWT, transfer.StreamForwardTransfer
