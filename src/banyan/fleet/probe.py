"""Whether an HTTP server says that it may be sent requests."""

import http.client

PROBE_SECONDS = 1.5


def answers_ready(port: int, path: str = "/readyz") -> bool:
    """Whether 127.0.0.1:`port` answers 200 on `path`, within PROBE_SECONDS; never an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
