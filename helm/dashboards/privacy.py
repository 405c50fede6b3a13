"""What training costs in privacy, and what it makes models forget."""

from panels import AT, POOL, dashboard, series, stat

EPSILON = "trainyard_privacy_epsilon_charged_total"
GATES = "trainyard_forgetting_gates_tripped_total"
ENDED = "trainyard_job_duration_seconds_count"


def make():
    """The dashboard."""
    per_ended = f"sum(increase({GATES}{{{AT}}}[$__range])) / (sum(increase({ENDED}{{{AT}}}[$__range])) > 0)"
    now = [
        stat(
            "Epsilon charged",
            "Privacy loss that was charged to files, in the time shown. It adds up different files: a measure of use, no guarantee of any.",
            f"sum(increase({EPSILON}{{{POOL}}}[$__range]))",
            decimals=2,
        ),
        stat(
            "Gates tripped",
            "Times that a job's limit on forgetting was passed, in the time shown.",
            f"sum(increase({GATES}{{{AT}}}[$__range]))",
            "short",
            (("green", None), ("orange", 1)),
            0,
        ),
        stat("Tripped by ended job", "Gates tripped by the jobs that ended, in the time shown.", per_ended, "percentunit"),
    ]
    over_time = [
        series(
            "Epsilon charged", "By pool.", [(f"sum by (pool) (increase({EPSILON}{{{POOL}}}[$__rate_interval]))", "{{pool}}")], stacked=True
        ),
        series("Epsilon charged in all", "Since the start of each api that counts it, by pool.", [(f"sum by (pool) ({EPSILON}{{{POOL}}})", "{{pool}}")]),
        series(
            "Gates tripped",
            "Jobs that forgot more than they were allowed to.",
            [(f"sum(increase({GATES}{{{AT}}}[$__rate_interval]))", "gates")],
        ),
        series(
            "Ended jobs",
            "For comparison, by how they ended.",
            [(f"sum by (outcome) (increase({ENDED}{{{AT}}}[$__rate_interval]))", "{{outcome}}")],
            stacked=True,
        ),
    ]
    about = "Use of privacy budgets, and gates on forgetting. What is left of a file's budget is no metric: GET /v1/files/{id}/privacy tells."
    rows = [("In the time shown", now), ("Over time", over_time)]
    return dashboard("trainyard-privacy", "Trainyard / Privacy and forgetting", about, rows, pools=True)
