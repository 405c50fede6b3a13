"""Continual-learning metrics of random matrices by Avalanche's own stream metrics: ../metrics.json.

Versions: requirements.txt (torch as for the other reference values). 70 matrices, ten of each T from 2 to 8, scores of 6 decimals, seed 2024.

`avalanche` has what Avalanche reports after each stage (`StreamForgetting`, `StreamBWT`, `StreamForwardTransfer`, and for `acc` its
`Mean` over the stages trained on): the plugins get the callbacks of an evaluation of all stages before training and after each stage, and
take the scores of the matrix where they would measure accuracy. Where Avalanche has nothing to average it reports 0; that is null here.

`forgetting_max` is not Avalanche's, which has no such metric: the formula of Chaudhry et al. 2018 in numpy.

Run: python continual/tests/golden/gen/metrics.py
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from avalanche_metrics import load

OUT = Path(__file__).parent.parent / "metrics.json"
MEAN, *STREAM_METRICS = load()


class Scores:
    """Takes the place of the measuring half of a stream metric: the score comes from the matrix."""

    def metric_update(self, strategy):
        pass

    def metric_result(self, strategy):
        return strategy.score


def plugins():
    return [type(metric.__name__, (Scores, metric), {})() for metric in STREAM_METRICS]


def evaluate(metric, strategy, scores):
    """One evaluation of every stage; what the metric reports at its end, None where it averaged nothing."""
    metric.before_eval(strategy)
    for stage, score in enumerate(scores):
        strategy.experience.current_experience = stage
        strategy.score = score
        metric.before_eval_exp(strategy)
        metric.after_eval_iteration(strategy)
        metric.after_eval_exp(strategy)
    mean = getattr(metric, "stream_forgetting", None) or metric.stream_forward_transfer
    weight = mean.weight
    (value,) = metric.after_eval(strategy)
    return value.value if weight else None


def reported(base, rows):
    experience = SimpleNamespace(current_experience=0, task_label=0, origin_stream=SimpleNamespace(name="test"))
    strategy = SimpleNamespace(
        experience=experience, clock=SimpleNamespace(train_iterations=0), eval_every=0, is_eval=True, score=0.0
    )
    metrics = plugins()
    for metric in metrics:
        evaluate(metric, strategy, base)
    after = []
    for stage, scores in enumerate(rows):
        values = []
        for metric in metrics:
            experience.current_experience = stage
            metric.before_training_exp(strategy)
            values.append(evaluate(metric, strategy, scores))
        accuracy = MEAN()
        for score in scores[: stage + 1]:
            accuracy.update(score)
        after.append(dict(zip(["forgetting", "bwt", "fwt"], values), acc=accuracy.result()))
    return after


def forgetting_max(rows):
    """Mean over the stages j before the last i of the best score of j before i, less that after i; None before the second stage."""
    table = np.array(rows)
    return [None if i == 0 else float((table[:i, :i].max(axis=0) - table[i, :i]).mean()) for i in range(len(rows))]


def main():
    random = np.random.default_rng(2024)
    lines = []
    for stages in range(2, 9):
        for _ in range(10):
            table = random.random((stages + 1, stages)).round(6).tolist()
            base, rows = table[0], table[1:]
            lines.append(
                {"base": base, "rows": rows, "avalanche": reported(base, rows), "forgetting_max": forgetting_max(rows)}
            )
    OUT.write_text("[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]\n")
    print(len(lines), "matrices")


if __name__ == "__main__":
    main()
