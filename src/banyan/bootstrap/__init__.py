"""The composition root: settings and a target become an application. Nothing else builds objects.

backends.py      which database, cache, bus and mail server the settings name
events.py        how events reach their consumers
meters.py        which numbers of which part are on /metrics
services.py      the contracts of modules that run elsewhere
composition.py   all objects of one process, connected
application.py   what that process is: it opens, runs and closes
http.py          the same over HTTP
worker.py        a process that does tasks
traces.py        whether it records traces, and as whom
"""

from banyan.bootstrap.application import Application
from banyan.bootstrap.backends import AUDIENCE, open_database
from banyan.bootstrap.composition import build
from banyan.bootstrap.http import asgi
from banyan.bootstrap.traces import recording, service_name
from banyan.bootstrap.worker import modules_at_hand, worker, worker_asgi

__all__ = [
    "AUDIENCE",
    "Application",
    "asgi",
    "build",
    "modules_at_hand",
    "open_database",
    "recording",
    "service_name",
    "worker",
    "worker_asgi",
]
