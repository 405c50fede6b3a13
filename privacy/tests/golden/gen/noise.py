"""Noise multipliers by the search of Opacus (get_noise_multiplier): ../noise.json.

Versions: requirements.txt. With its default tolerance of 0.01 in epsilon Opacus stops above the smallest noise; where that shows, at
small epsilons, the rows are made with tolerance 1e-3.

Run: python privacy/tests/golden/gen/noise.py (about two minutes)
"""

import importlib
import itertools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from opacus_analysis import load

OUT = Path(__file__).parent.parent / "noise.json"


def main():
    _, _, accountants = load()
    package = sys.modules["opacus.accountants"]
    package.create_accountant = lambda mechanism: accountants[mechanism]()
    search = importlib.import_module("opacus.accountants.utils").get_noise_multiplier
    named = [(8, 1e-5, 0.01, 1000, 0.01), (1, 1e-5, 0.01, 1000, 1e-3), (3, 1e-6, 0.005, 2000, 0.01)]
    grid = [
        (epsilon, 1e-5, rate, steps, 1e-3)
        for epsilon, (rate, steps) in itertools.product([0.8, 2, 6, 10], [(0.002, 3000), (0.03, 200), (0.2, 20)])
    ]
    rows = []
    for (epsilon, delta, rate, steps, tolerance), accountant in itertools.product(named + grid, ["rdp", "prv"]):
        noise = search(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=rate,
            steps=steps,
            accountant=accountant,
            epsilon_tolerance=tolerance,
        )
        rows.append(
            {
                "accountant": accountant,
                "epsilon": epsilon,
                "delta": delta,
                "sampling_rate": rate,
                "steps": steps,
                "noise_multiplier": noise,
            }
        )
    OUT.write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
    print(len(rows), "rows")


if __name__ == "__main__":
    main()
