"""Banyan on AWS Lambda: three handlers of one image.

    banyan.aws_lambda.handler   HTTP: API Gateway (HTTP API) or a function URL; runs no loops
    banyan.aws_lambda.relay     scheduled: what the loops of a server would have done meanwhile
    banyan.aws_lambda.migrate   invoked by hand, before a new version serves

settings.py       what must be set there, and what cannot be
environment.py    one execution environment: opened once, used by many invocations, closed
http.py           an invocation as a request
scheduled.py      an invocation as a bounded piece of the loops' work

Importing this does nothing. A handler is made when the runtime asks for it by its name, in the init phase, in which
Lambda gives a function a whole processor whatever its memory: the start belongs there, not into somebody's request.
"""

import gc
from collections.abc import Callable
from typing import Any

from banyan.infra.hidden_imports import hidden

Handler = Callable[[Any, Any], dict[str, Any]]

HANDLERS = ("handler", "relay", "migrate")


def __getattr__(name: str) -> Handler:
    """A handler, started; later the same one. Raises SettingsError, which Lambda reports as an error of the init phase."""
    if name not in HANDLERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made: Handler = _make(name)
    globals()[name] = made
    return made


def _make(name: str) -> Handler:
    if name == "migrate":
        from banyan.aws_lambda.migrations import migrate

        return migrate
    # Importing makes a hundred thousand objects and no garbage: collecting meanwhile costs a tenth of the start.
    gc.disable()
    with hidden("rich"):
        from banyan.aws_lambda.environment import Environment
    environment = Environment.started(name)
    if name == "handler":
        from banyan.aws_lambda.http import http_function

        return http_function(environment)
    from banyan.aws_lambda.scheduled import scheduled_function

    return scheduled_function(environment)
