"""Processes that take training steps when they are told to.

The speed of a machine that others use too swings by a third within minutes. Two sides that take single steps in turns meet the same machine, so the
ratio of neighbouring steps says more than that of two runs.
"""

import json
import os
import subprocess
import sys
import time


def surroundings(threads, more):
    """The environment of a process that computes with so many threads."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}


class Side:
    """A process of one side, after its first step."""

    def __init__(self, command, more, threads):
        self.command = [str(part) for part in command] + ["--turns"]
        begun = time.perf_counter()
        self.process = subprocess.Popen(self.command, env=surroundings(threads, more), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line()
        # From the start of the process on, loading and compiling included.
        self.first_step_seconds = time.perf_counter() - begun

    def step(self):
        """Seconds of one more step."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line())

    def end(self):
        """All figures."""
        self.process.stdin.close()
        figures = json.loads(self._line())
        self.process.wait()
        return figures | {"first_step_seconds": self.first_step_seconds}

    def stop(self):
        """Ends the process, whatever it does."""
        self.process.kill()
        self.process.wait()

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"ended with {self.process.wait()}: {' '.join(self.command)}")
        return line


def alone(ours, threads, steps):
    """The figures of `steps` steps of one side, a command and its environment."""
    side = Side(*ours, threads)
    try:
        for _ in range(steps):
            side.step()
        return side.end()
    finally:
        side.stop()


def in_turns(ours, theirs, threads, steps):
    """The figures of both sides, each a command and its environment, and how many times as long as ours each of their steps took."""
    sides, ratios = [], []
    try:
        for command, more in (ours, theirs):
            sides.append(Side(command, more, threads))
        for number in range(steps):
            # Who is first changes, so that a machine that gets slower or faster favours neither.
            order = (0, 1) if number % 2 == 0 else (1, 0)
            seconds = {side: sides[side].step() for side in order}
            ratios.append(seconds[1] / seconds[0])
        return sides[0].end(), sides[1].end(), ratios
    finally:
        for side in sides:
            side.stop()
