"""A process that says one line and then lives on, or ends: `python -m tests.devnet.talker stay|die`."""

import json
import signal
import sys

if __name__ == "__main__":
    print(json.dumps({"event": "talker.ready", "at_ms": 7}), flush=True)
    print("no json", flush=True)
    if sys.argv[1] == "die":
        sys.exit(3)
    signal.pause()
