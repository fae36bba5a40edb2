"""What processes use is read from a real /proc, of real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.stalling import StandIn

from banyan.capacity.machine import Machine, listeners

pytestmark = pytest.mark.skipif(not Path("/proc/stat").exists(), reason="there is no /proc on this machine")

# A process that starts another; that one works for a while, tells it, and lives until its input ends.
BURN = """
import subprocess, sys, time
if len(sys.argv) > 1:
    sys.exit(subprocess.run([sys.executable, "-c", sys.argv[1]]).returncode)
while time.process_time() < 0.3:
    pass
print("done", flush=True)
sys.stdin.read()
"""


def test_the_time_of_a_tree_is_counted_and_that_of_others_is_not():
    machine, stranger = Machine([os.getpid()]), Machine([])
    before = machine.look()
    with subprocess.Popen(
        [sys.executable, "-c", BURN, BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        after = machine.look()
        process.communicate()
    seconds = after.at - before.at
    usage = machine.between(before, after)
    assert usage.application is not None
    assert usage.application * seconds >= 0.25
    assert usage.busiest is not None
    assert usage.busiest <= usage.application
    # This process is the generator, and no part of the application.
    assert os.getpid() not in after.parts
    assert usage.generator is not None
    assert stranger.between(before, after).application is None


def test_who_listens_is_found():
    with StandIn() as server:
        port = int(server.url.rpartition(":")[2])
        assert listeners(port) == {os.getpid()}
    assert listeners(port) == set()
