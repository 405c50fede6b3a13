"""How fast and how safely executors train."""

from panels import POOL, dashboard, quantiles, series, stat


def rate(metric, by="pool"):
    """A counter's rate by pool."""
    return f"sum {f'by ({by}) ' if by else ''}(rate({metric}{{{POOL}}}[$__rate_interval]))"


def make():
    """The dashboard."""
    slots = f"sum by (pool) (trainyard_executor_slots{{{POOL}}})"
    busy = f'sum by (pool) (trainyard_executor_slots{{{POOL},state="busy"}})'
    trains = f"rate(trainyard_train_steps_total{{{POOL}}}[$__rate_interval]) > 0"
    age = f"time() - trainyard_checkpoint_last_success_timestamp_seconds{{{POOL}}} and {trains}"
    now = [
        stat("Tokens", "Tokens a second that are trained on.", rate("trainyard_train_tokens_total", ""), "short"),
        stat("Steps", "Optimizer steps a second.", rate("trainyard_train_steps_total", ""), "short", decimals=2),
        stat("Busy", "Share of slots that train.", f"sum({busy}) / sum({slots})", "percentunit"),
        stat(
            "Oldest checkpoint",
            "Among executors that train: what would be trained again if that one stopped.",
            f"max({age})",
            "s",
            (("green", None), ("orange", 600), ("red", 900)),
        ),
    ]
    speed = [
        series("Tokens", "A second, by pool.", [(rate("trainyard_train_tokens_total"), "{{pool}}")]),
        series("Steps", "A second, by pool.", [(rate("trainyard_train_steps_total"), "{{pool}}")]),
        series(
            "Duration of a step",
            "By pool.",
            quantiles("trainyard_train_step_duration_seconds", by="pool", matchers=POOL, shares=((0.5, "p50"), (0.99, "p99"))),
            "s",
        ),
        series(
            "Tokens of an accelerator second",
            "Tokens by the seconds that accelerators were held for them.",
            [(f"{rate('trainyard_train_tokens_total')} / {rate('trainyard_accelerator_seconds_total')}", "{{pool}}")],
        ),
    ]
    use = [
        series("Busy slots", "Share of each pool's slots that train.", [(f"{busy} / {slots}", "{{pool}}")], "percentunit"),
        series(
            "Accelerators held",
            "Accelerator seconds a second: how many are held at once.",
            [(rate("trainyard_accelerator_seconds_total"), "{{pool}}")],
        ),
        series(
            "Accelerator memory",
            "Of runs whose accelerator is the processor, by executor; GPUs have exporters of their own.",
            [(f"sum by (pool, pod) (trainyard_accelerator_memory_used_bytes{{{POOL}}})", "{{pool}} {{pod}}")],
            "bytes",
        ),
        series(
            "Executors",
            "Executors that are scraped, by pool.",
            [(f'count by (pool) (trainyard_executor_slots{{{POOL},state="busy"}})', "{{pool}}")],
            stacked=True,
        ),
    ]
    checkpoints = [
        series("Age of the last checkpoint", "By executor, while it trains.", [(age, "{{pool}} {{pod}}")], "s"),
        series(
            "Duration of a checkpoint",
            "From the trainer's files to the moved pointer.",
            quantiles("trainyard_checkpoint_duration_seconds", by="pool", matchers=POOL, shares=((0.5, "p50"), (0.9, "p90"))),
            "s",
        ),
    ]
    rows = [("Now", now), ("Speed", speed), ("Use", use), ("Checkpoints", checkpoints)]
    return dashboard("trainyard-training", "Trainyard / Training", "Speed, use and checkpoints of executors.", rows, pools=True)
