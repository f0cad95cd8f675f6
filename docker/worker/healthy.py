"""Ends with 0 where the address given answers 200 within three seconds: for health checks, as the image has no curl."""

import sys
import urllib.request

try:
    # Not by a proxy of the environment.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=3) as reply:
        sys.exit(reply.status != 200)
except OSError:
    sys.exit(1)
