"""Whether jobs get on, and what tenants wait for."""

from panels import AT, POOL, dashboard, quantiles, series, stat


def jobs(states, by="state"):
    """Jobs in some states. Every scheduler counts all of them, so the most of them counts."""
    return f'sum by ({by}) (max by (pool, state) (trainyard_jobs{{{POOL},state=~"{states}"}}))'


def increase(metric, by="", matchers=AT):
    """How much a counter grew in each step of the graph."""
    return f"sum {f'by ({by}) ' if by else ''}(increase({metric}{{{matchers}}}[$__rate_interval]))"


def make():
    """The dashboard."""
    oldest = f"max((time() - trainyard_outbox_oldest_timestamp_seconds{{{AT}}}) and (trainyard_outbox_entries{{{AT}}} > 0)) or vector(0)"
    waits = quantiles("trainyard_job_queue_wait_seconds", by="pool", matchers=POOL, shares=((0.5, "p50"), (0.9, "p90")))
    now = [
        stat("Queued", "Jobs that wait for devices.", f"sum({jobs('queued')})"),
        stat("Running", "Jobs that an executor has.", f"sum({jobs('running')})"),
        stat("Paused", "Jobs that their tenants hold.", f"sum({jobs('paused')})"),
        stat("Free slots", "Runs that executors could take at once.", f'sum(trainyard_executor_slots{{{POOL},state="free"}})'),
        stat(
            "Oldest ticket",
            "How long the oldest ticket has been waiting to be published; 0 where none waits.",
            oldest,
            "s",
            (("green", None), ("orange", 30), ("red", 120)),
        ),
        stat(
            "Leases run out",
            "Executors that vanished from a run, in the time shown.",
            f"sum(increase(trainyard_lease_expirations_total{{{AT}}}[$__range]))",
            "short",
            (("green", None), ("orange", 1)),
            0,
        ),
    ]
    tenants = [
        series("Jobs by state", "Jobs that have not ended.", [(jobs(".+"), "{{state}}")], stacked=True),
        series("Queued by pool", "Jobs that wait for devices of each pool.", [(jobs("queued", "pool"), "{{pool}}")], stacked=True),
        series("Wait", "How long jobs that start now have waited.", waits, "s"),
        series(
            "Slots",
            "Runs that executors have and could have.",
            [(f"sum by (pool, state) (trainyard_executor_slots{{{POOL}}})", "{{pool}} {{state}}")],
            stacked=True,
        ),
        series(
            "Ended jobs",
            "Jobs that came to their end, by how.",
            [(increase("trainyard_job_duration_seconds_count", "outcome"), "{{outcome}}")],
            stacked=True,
        ),
        series(
            "Duration of jobs",
            "From submit to end, by how they ended.",
            quantiles("trainyard_job_duration_seconds", by="outcome", shares=((0.5, "p50"), (0.9, "p90"))),
            "s",
        ),
        series(
            "Refused by limits",
            "Requests that a tenant's or key's limit turned away.",
            [(increase("trainyard_rate_limited_total", "reason"), "{{reason}}")],
        ),
    ]
    dispatch = [
        series("Outbox", "Tickets that wait to be published.", [(f"max(trainyard_outbox_entries{{{AT}}})", "tickets")]),
        series(
            "Published tickets",
            "Tickets by what the broker said.",
            [(increase("trainyard_publish_confirms_total", "result"), "{{result}}")],
        ),
        series("Tickets issued again", "By reason.", [(increase("trainyard_redispatch_total", "reason"), "{{reason}}")]),
        series(
            "Stale tickets",
            "Tickets that executors took and that were no longer good: harmless one by one.",
            [(increase("trainyard_tickets_stale_total"), "stale")],
        ),
        series(
            "Leases run out", "Runs whose executor was not heard of in time.", [(increase("trainyard_lease_expirations_total"), "leases")]
        ),
        series(
            "Fenced writes",
            "Writes of runs that had lost their lease: refused.",
            [(increase("trainyard_fenced_writes_total", "op"), "{{op}}")],
        ),
    ]
    rows = [("Now", now), ("Tenants", tenants), ("Dispatch", dispatch)]
    return dashboard("trainyard-scheduler", "Trainyard / Scheduler and tenants", "Queues, waits, tickets and leases.", rows, pools=True)
