"""Epsilon of the sampled Gaussian by Opacus (RDP and PRV) and by Google's PLD, on a grid: ../epsilon.json.

Versions: requirements.txt. A row is kept where Opacus' RDP epsilon is at most 60: more is no privacy, and PLD's own rounding shows.
PLD: connect-the-dots, pessimistic, interval 1e-4 (1e-5 above 2,000 steps), both directions of add/remove adjacency.

Run: python privacy/tests/golden/gen/epsilon.py (about ten minutes)
"""

import itertools
import json
import math
import sys
import warnings
from multiprocessing import Pool
from pathlib import Path

from dp_accounting.pld import privacy_loss_distribution as pld

sys.path.insert(0, str(Path(__file__).parent))
from opacus_analysis import load

warnings.filterwarnings("ignore")
OUT = Path(__file__).parent.parent / "epsilon.json"

SINGLE = [
    [[(sigma, rate, steps)], delta]
    for sigma, rate, steps, delta in itertools.product(
        [0.5, 0.7, 1.0, 1.5, 3.0, 8.0], [0.0005, 0.004, 0.02, 0.1, 1.0], [1, 30, 500, 6000], [1e-5, 1e-7]
    )
]
MIXED = [
    [[(1.0, 0.01, 500), (0.8, 0.02, 200)], 1e-5],
    [[(1.0, 0.01, 1000), (1.0, 0.01, 1000), (2.0, 0.05, 300)], 1e-6],
    [[(0.7, 0.001, 4000), (5.0, 1.0, 3)], 1e-6],
    [[(1.1, 256 / 60000, 14063), (0.9, 0.01, 100), (3.0, 0.1, 50)], 1e-5],
    [[(6.0, 1.0, 5), (4.0, 0.5, 5), (2.0, 0.2, 5), (1.0, 0.05, 5)], 1e-8],
    [[(0.6, 0.0005, 1), (10.0, 0.9, 1)], 1e-5],
]
# The table of the reference: published settings and one whose best order is the largest.
NAMED = [
    [[(1.0, 0.01, 1000)], 1e-5],
    [[(1.1, 0.01, 10000)], 1e-5],
    [[(1.1, 256 / 60000, 14063)], 1e-5],
    [[(0.8, 0.001, 5000)], 1e-6],
    [[(2.0, 0.1, 100)], 1e-5],
    [[(5.0, 1.0, 10)], 1e-5],
    [[(0.6, 0.02, 500)], 1e-5],
    [[(10.0, 0.004, 100)], 1e-5],
    [[(1.0, 0.01, 1000)], 1e-9],
    [[(1.5, 0.005, 40000)], 1e-6],
]


def row(case):
    phases, delta = case
    _, _, accountants = load()
    rdp = accountants["rdp"]()
    rdp.history = [tuple(p) for p in phases]
    epsilon, order = rdp.get_privacy_spent(delta=delta)
    if not math.isfinite(epsilon) or epsilon > 60:
        return None
    prv = accountants["prv"]()
    prv.history = [tuple(p) for p in phases]
    try:
        dprv = prv._get_dprv(eps_error=0.01, delta_error=delta / 1000)
        low, estimate, high = (float(x) for x in dprv.compute_epsilon(delta, delta / 1000, 0.01))
        prv_row = [low, estimate, high] if all(map(math.isfinite, (low, estimate, high))) else None
    except Exception:  # Opacus' own limits: the row still checks RDP and PLD
        prv_row = None
    interval = 1e-5 if sum(p[2] for p in phases) > 2000 else 1e-4
    whole = None
    for sigma, rate, steps in phases:
        one = pld.from_gaussian_mechanism(
            sigma, sampling_prob=rate, value_discretization_interval=interval, use_connect_dots=True
        ).self_compose(steps)
        whole = one if whole is None else whole.compose(one)
    return {
        "phases": [{"noise_multiplier": s, "sampling_rate": q, "steps": t} for s, q, t in phases],
        "delta": delta,
        "rdp": float(max(epsilon, 0)),
        "order": float(order),
        "prv": prv_row,
        "pld": float(whole.get_epsilon_for_delta(delta)),
    }


def main():
    with Pool(2) as pool:
        rows = [r for r in pool.imap(row, NAMED + MIXED + SINGLE, chunksize=1) if r]
    OUT.write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
    print(len(rows), "rows")


if __name__ == "__main__":
    main()
