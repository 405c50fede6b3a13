"""Lower bounds on epsilon from one run's guesses, by the theorem and scipy: ../audit.json.

Versions: requirements.txt. Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run", 2023, theorem 5.2: with v of r guesses
right, m canaries and B binomial(r, 1 / (1 + e^-epsilon)), p = P(B >= v) + 2 m delta max over i in 1..v of P(v - i <= B < v) / i.

Run: python privacy/tests/golden/gen/audit.py
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binom

OUT = Path(__file__).parent.parent / "audit.json"
CASES = [
    (1000, 1000, 510, 1e-5, 0.95),
    (1000, 1000, 560, 1e-5, 0.95),
    (1000, 1000, 800, 0.0, 0.95),
    (1000, 100, 100, 1e-5, 0.95),
    (1000, 100, 95, 1e-5, 0.99),
    (5000, 300, 260, 1e-6, 0.95),
    (100, 20, 20, 1e-4, 0.9),
    (100000, 5000, 4100, 1e-7, 0.95),
    (10, 10, 10, 1e-3, 0.95),
    (200, 50, 20, 1e-5, 0.95),
    (1000, 1000, 1000, 0.0, 0.999),
]


def p_value(m, r, v, delta, epsilon):
    q = expit(epsilon)
    i = np.arange(1, v + 1)
    below = (binom.cdf(v - 1, r, q) - binom.cdf(v - i - 1, r, q)) / i
    return min(1.0, binom.sf(v - 1, r, q) + 2 * m * delta * below.max(initial=0.0))


def main():
    rows = []
    for m, r, v, delta, confidence in CASES:
        gap = lambda epsilon: p_value(m, r, v, delta, epsilon) - (1 - confidence)
        bound = brentq(gap, 0, 50, xtol=1e-12) if gap(0) < 0 else 0.0
        rows.append(
            {"canaries": m, "guessed": r, "correct": v, "delta": delta, "confidence": confidence, "p_value_at_1": p_value(m, r, v, delta, 1.0), "epsilon": bound}
        )
    OUT.write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


if __name__ == "__main__":
    main()
