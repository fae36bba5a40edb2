"""Exit code 0 when the process of this container may be sent requests, 1 when not. The image's HEALTHCHECK."""

import http.client
import os
import sys

TIMEOUT_SECONDS = 2.0


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


sys.exit(0 if is_ready(int(os.environ["BANYAN_PORT"])) else 1)
