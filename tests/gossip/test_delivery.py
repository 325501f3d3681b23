"""What honest operators get: everything, soon, whatever happens to one of them."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

from consensus.errors import Unavailable
from node.gossip.host import Libp2pTransport, addresses_by_peer, open_host, peer_id_of_seed
from node.gossip.transport import Path, PeerId
from tests.gossip.harness import (
    MAX_PAYLOAD_BYTES,
    address_of,
    assert_serves,
    book_of,
    eventually,
    is_joined,
    make_config,
    make_seed,
    open_hosts,
    receive,
)

BURST = 200


async def test_burst_of_200_reaches_every_operator_by_both_paths() -> None:
    async with open_hosts(4) as hosts:
        payloads = {number.to_bytes(4, "big") * 100 for number in range(BURST)}

        for payload in payloads:
            await hosts[0].publish(payload)

        for host in hosts[1:]:
            await eventually(
                lambda host=host: (
                    host.statistics().received_direct == BURST and host.statistics().received_pubsub == BURST
                )
            )
            taken = [host.received.receive_nowait() for _ in range(2 * BURST)]
            for path in Path:
                assert {each.payload for each in taken if each.path is path} == payloads
        assert not hosts[0].statistics().drops


async def test_pubsub_carries_past_a_missing_connection() -> None:
    # 0 and 2 know each other but have no address and may not connect: only 1 stands between them.
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(open_host(make_config(number))) for number in range(3)]
        first, middle, last = hosts
        book = book_of(hosts)
        await middle.register(book)
        await first.register({middle.peer_id: book[middle.peer_id], last.peer_id: ()})
        await last.register({middle.peer_id: book[middle.peer_id], first.peer_id: ()})
        await eventually(lambda: len(middle.statistics().connected) == 2)
        await eventually(lambda: len(middle.router.mesh.get(middle._config.topic, ())) == 2)

        await first.publish(b"round the corner")

        received = await receive(last, b"round the corner")
        assert (received.peer_id, received.path) == (first.peer_id, Path.PUBSUB)


async def test_peer_that_restarts_is_connected_again() -> None:
    port = _free_port()
    async with open_hosts(2) as hosts:
        for _ in range(2):
            async with open_host(make_config(2, listen=f"/ip4/127.0.0.1/tcp/{port}")) as restarted:
                everybody = [*hosts, restarted]
                for host in everybody:
                    await host.register(book_of(everybody))
                await eventually(lambda everybody=everybody: is_joined(everybody))
                await assert_serves(restarted, hosts[0], b"to the restarted one")
                await assert_serves(hosts[1], restarted, b"from the restarted one")
            await eventually(lambda: len(hosts[0].statistics().connected) == 1)


async def test_peer_is_found_by_its_host_name() -> None:
    async with open_host(make_config(0)) as first, open_host(make_config(1)) as second:
        port = address_of(first).rpartition("/")[2]

        await first.register({second.peer_id: ()})
        await second.register({first.peer_id: (f"/dns4/localhost/tcp/{port}",)})

        await eventually(lambda: len(first.statistics().connected) == 1)


async def test_peer_that_was_down_is_reached_within_the_backoff() -> None:
    # The library itself would refuse to dial for a minute after one failure.
    port = _free_port()
    late = make_config(1, listen=f"/ip4/127.0.0.1/tcp/{port}")
    async with open_host(make_config(0)) as host:
        await host.register({peer_id_of_seed(late.seed): (f"/ip4/127.0.0.1/tcp/{port}",)})
        link = host._links[peer_id_of_seed(late.seed)]
        await eventually(lambda: link.next_address >= 2)  # two dials have begun, so one has failed

        async with open_host(late) as peer:
            await peer.register({host.peer_id: ()})

            await eventually(lambda: len(host.statistics().connected) == 1, within_seconds=10)


async def test_cancelled_host_frees_its_port_and_tells_its_peers() -> None:
    port = _free_port()
    async with open_hosts(1) as (host,):
        with trio.CancelScope() as scope:
            async with open_host(make_config(2, listen=f"/ip4/127.0.0.1/tcp/{port}")) as cancelled:
                for each in (host, cancelled):
                    await each.register(book_of([host, cancelled]))
                await eventually(lambda: len(host.statistics().connected) == 1)
                scope.cancel()
                await trio.sleep_forever()

        await eventually(lambda: host.statistics().connected == ())
        async with open_host(make_config(2, listen=f"/ip4/127.0.0.1/tcp/{port}")) as again:
            assert again.listening_on == (f"/ip4/127.0.0.1/tcp/{port}",)


async def test_joined_is_told_on_every_reconnect() -> None:
    port = _free_port()
    async with open_hosts(1) as (host,):
        for _ in range(2):
            async with open_host(make_config(2, listen=f"/ip4/127.0.0.1/tcp/{port}")) as restarted:
                for each in (host, restarted):
                    await each.register(book_of([host, restarted]))
                with trio.fail_after(10):
                    assert await host.joined.receive() == restarted.peer_id


async def test_operator_that_leaves_the_set_is_disconnected() -> None:
    async with open_hosts(3) as (first, second, third):
        await first.register(book_of([second]))

        await eventually(lambda: first.statistics().connected == (second.peer_id,))
        await eventually(lambda: not first._swarm.get_connections(third._host.get_id()))
        await assert_serves(first, second, b"still here")


async def test_killed_peer_does_not_hurt_the_others() -> None:
    async with open_hosts(3, extra={_lone_peer_id(): ()}) as hosts, _lone_host(hosts) as process:
        process.kill()

        await _assert_burst(hosts)
        await eventually(lambda: all(len(host.statistics().connected) == 2 for host in hosts))


async def test_frozen_peer_does_not_hurt_the_others_and_is_dropped() -> None:
    settings = {"ping_interval_seconds": 1.0, "ping_timeout_seconds": 2.0, "write_seconds": 3.0}
    async with open_hosts(3, extra={_lone_peer_id(): ()}, **settings) as hosts, _lone_host(hosts) as process:
        os.kill(process.pid, signal.SIGSTOP)

        await _assert_burst(hosts)
        await eventually(lambda: all(len(host.statistics().connected) == 2 for host in hosts))

        os.kill(process.pid, signal.SIGCONT)
        await eventually(lambda: all(len(host.statistics().connected) == 3 for host in hosts))
        await hosts[0].push(_lone_peer_id(), b"speak")
        await receive(hosts[1], b"echo speak")


async def test_frozen_peer_is_noticed_when_nobody_writes() -> None:
    settings = {"ping_interval_seconds": 1.0, "ping_timeout_seconds": 2.0}
    async with open_hosts(1, extra={_lone_peer_id(): ()}, **settings) as hosts, _lone_host(hosts) as process:
        os.kill(process.pid, signal.SIGSTOP)

        await eventually(lambda: hosts[0].statistics().connected == ())


async def test_error_inside_the_block_is_not_swallowed() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_hosts(2) as hosts:
            raise LookupError(f"something of the caller's with {len(hosts)} hosts")

    assert caught.value.subgroup(LookupError) is not None


async def test_port_of_another_process_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = make_config(listen=f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}")

        with pytest.raises(Unavailable, match="Another process has the port"):
            async with open_host(config):
                raise AssertionError("it must not come this far")


async def test_registering_a_broken_peer_id_leaves_the_others_connected() -> None:
    async with open_hosts(2, extra={PeerId("no peer id"): ()}) as (first, second):
        assert first.statistics().registered == 1
        await assert_serves(first, second, b"hello")


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD_BYTES + 1])
async def test_own_payload_that_peers_would_refuse_is_refused_here(size: int) -> None:
    async with open_host(make_config()) as host:
        with pytest.raises(ValueError, match=f"expected a payload of 1 to {MAX_PAYLOAD_BYTES} bytes"):
            await host.publish(bytes(size))


def test_addresses_are_grouped_by_peer() -> None:
    peer = peer_id_of_seed(make_seed(1))

    book = addresses_by_peer([f"/ip4/10.0.0.1/tcp/1/p2p/{peer}", f"/dns4/a.example/tcp/2/p2p/{peer}"])

    assert book == {peer: ("/ip4/10.0.0.1/tcp/1", "/dns4/a.example/tcp/2")}


@pytest.mark.parametrize("text", ["/ip4/10.0.0.1/tcp/1", "nonsense/p2p/12D3", "/ip4/10.0.0.1/tcp/1/p2p/0OIl"])
def test_address_without_a_peer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ending in /p2p/<peer id>"):
        addresses_by_peer([text])


async def _assert_burst(hosts: Sequence[Libp2pTransport]) -> None:
    """A burst from the first reaches each of these hosts in full, directly."""
    before = [host.statistics().received_direct for host in hosts]
    for number in range(BURST):
        await hosts[0].publish(number.to_bytes(4, "big") * 100)
    for host, count in list(zip(hosts, before, strict=True))[1:]:
        await eventually(lambda host=host, count=count: host.statistics().received_direct == count + BURST)


LONE = 50


def _lone_peer_id() -> PeerId:
    return peer_id_of_seed(make_seed(LONE))


@asynccontextmanager
async def _lone_host(hosts: Sequence[Libp2pTransport]) -> AsyncIterator[trio.Process]:
    """A host in a process of its own, connected to all of these."""
    peers = {host.peer_id: [address_of(host)] for host in hosts}
    command = [
        sys.executable,
        "-m",
        "tests.gossip.lone_host",
        str(LONE),
        str(_free_port()),
        json.dumps(peers),
    ]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(_run_quietly, command)
        try:
            await eventually(lambda: all(len(host.statistics().connected) == len(hosts) for host in hosts))
            await eventually(lambda: is_joined(hosts))
            yield process
        finally:
            process.kill()


async def _run_quietly(
    command: list[str], task_status: trio.TaskStatus[trio.Process] = trio.TASK_STATUS_IGNORED
) -> None:
    process = await trio.lowlevel.open_process(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    task_status.started(process)
    await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
