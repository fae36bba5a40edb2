"""CPU time and memory of process trees."""

import subprocess
import sys

from benchmarks.speed.processes import Meter, Tree

# A parent whose child burns CPU for a while and ends; the parent waits for it, and then for us.
PARENT = """
import subprocess, sys
print("ready", flush=True); sys.stdin.readline()
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.4: pass"], check=True)
print("done", flush=True); sys.stdin.readline()
"""


def test_what_a_child_used_counts_after_it_has_ended():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        meter = Meter(Tree.of(parent.pid))
        print("go", file=parent.stdin, flush=True)
        assert parent.stdout.readline() == "done\n"
        used = meter.seconds()
        assert used >= 0.35  # what the child took by its own clock, less the grain of /proc
        assert meter.us_per(100) >= used / 100 * 1e6
        assert Tree.of(parent.pid).memory_mib() > 1
        print("end", file=parent.stdin, flush=True)
