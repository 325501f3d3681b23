"""One host in a process of its own, to be killed or stopped by a test: seed number, port, peers as JSON.

Answers the payload "speak" by publishing "echo speak", so that a test can tell that it lives again.
"""

import json
import sys
from functools import partial

import trio

from node.gossip.host import open_host
from node.gossip.transport import PeerId
from tests.gossip.harness import make_config


async def main(number: int, port: int, peers: dict[str, list[str]]) -> None:
    config = make_config(number, listen=f"/ip4/127.0.0.1/tcp/{port}")
    async with open_host(config) as transport:
        await transport.register({PeerId(peer): tuple(addresses) for peer, addresses in peers.items()})
        async for received in transport.received:
            if received.payload == b"speak":
                await transport.publish(b"echo speak")


if __name__ == "__main__":
    trio.run(partial(main, int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])))
