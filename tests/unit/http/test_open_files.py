"""A server may have as many connections as the system allows, whatever the shell began with."""

import subprocess
import sys

SCRIPT = """
import resource
from banyan.infra.http.open_files import allow_many
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
allowed = allow_many()
print(allowed == resource.getrlimit(resource.RLIMIT_NOFILE)[0], allowed > 256 or most == 256)
"""


def test_the_limit_is_raised_to_what_the_system_lets_us_have() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["True", "True"]
