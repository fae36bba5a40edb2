"""What a closed loop does not see: a server that answers at once, but for one stall in the middle.

    python -m benchmarks.capacity.omission [--stall 0.2] [--rate 500] [--connections 2]

The same requests twice, from a closed loop that tries to keep the rate and from `banyan bench`'s open loop.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

from tests.support.stalling import StandIn, stalls_once

from banyan.capacity.histogram import Histogram
from banyan.capacity.open_loop import Target, milliseconds, request_bytes, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stall", type=float, default=0.2, help="seconds")
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--connections", type=int, default=2)
    options = parser.parse_args()
    for name, measure in (("closed loop", closed), ("open loop", opened)):
        with StandIn(stalls_once(options.rate // 2, options.stall)) as server:
            found = milliseconds(measure(server, options.rate, options.connections))
        print(f"{name:12}", "   ".join(f"{percent} {value:8.2f} ms" for percent, value in found.items()))


def closed(server: StandIn, rate: int, connections: int) -> Histogram:
    """Each connection sends its next request when the last one is answered, and not before its time."""
    latency = Histogram()

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]))
        for _ in range(rate // connections):
            began = time.perf_counter()
            connection.request("GET", "/")
            connection.getresponse().read()
            took = time.perf_counter() - began
            latency.record(took)
            time.sleep(max(0.0, connections / rate - took))
        connection.close()

    with ThreadPoolExecutor(connections) as pool:
        for done in [pool.submit(client) for _ in range(connections)]:
            done.result()
    return latency


def opened(server: StandIn, rate: int, connections: int) -> Histogram:
    return run(Target.at(server.url, [request_bytes(server.url)]), rate, 1.0, connections).latency


if __name__ == "__main__":
    main()
