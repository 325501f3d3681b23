"""Operators of a local network: a folder each, with keys, a configuration and a place for the database."""

from __future__ import annotations

import os
import random
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from consensus.bls import PublicKey
from consensus.errors import Unavailable
from consensus.types import Address, ChainId
from node.config import Keys
from node.devnet.anvil import Anvil
from node.gossip.transport import PeerId
from node.keys import make_keys
from node.private_files import PRIVATE_FILE_MODE

LISTEN_SECONDS = 1.0  # what a local network needs to tell what it holds
FIRST_PORT, MOST_PORTS_TRIED = 10_000, 1_000
WEAK_WORK_FACTOR = 2  # scrypt at full strength costs a second and 256 MiB a key; these keys guard nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One operator's folder and what is public about it."""

    name: str
    folder: Path
    address: Address
    public_key: PublicKey
    peer_id: PeerId
    port: int
    looking_port: int
    """Where it says how it is."""

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def multiaddr(self) -> str:
        return f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{self.peer_id}"


async def make_homes(directory: Path, count: int) -> tuple[Home, ...]:
    """`count` operators, named w1 and up, with fresh keys under weak passwords."""
    ports = _free_ports(2 * count)
    return tuple(
        [
            await _make_home(directory / f"w{number}", port, looking_port)
            for number, port, looking_port in zip(range(1, count + 1), ports, ports[count:], strict=False)
        ]
    )


async def _make_home(folder: Path, port: int, looking_port: int) -> Home:
    keys = Keys(
        bls_keystore=folder / "bls.json",
        transaction_keystore=folder / "transaction.json",
        p2p_keystore=folder / "p2p.json",
        password_file=folder / "password",
    )
    _write_password(keys.password_file)
    made = await make_keys(keys, folder / "data", work_factor=WEAK_WORK_FACTOR)
    return Home(
        name=folder.name,
        folder=folder,
        address=made.address,
        public_key=made.public_key,
        peer_id=made.peer_id,
        port=port,
        looking_port=looking_port,
    )


def _write_password(path: Path) -> None:
    path.parent.mkdir(parents=True)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    with os.fdopen(os.open(path, flags, PRIVATE_FILE_MODE), "w") as file:
        file.write(secrets.token_hex(16))


def write_config(
    home: Home,
    *,
    peers: Sequence[Home],
    chains: Sequence[tuple[str, Anvil]],
    home_chain: ChainId,
    registry: Address,
    policies: Sequence[Path],
) -> None:
    """The operator's config.toml: one endpoint a chain, since a local chain has one node."""
    others = ", ".join(f'"{peer.multiaddr}"' for peer in peers if peer.name != home.name)
    tables = "".join(
        f'\n[[chains]]\nid = {chain.chain_id}\nname = "{name}"\nagreement = 1\n'
        f'[[chains.endpoints]]\nname = "anvil-{name}"\nhttp = "{chain.http}"\nws = "{chain.ws}"\n'
        for name, chain in chains
    )
    named = ", ".join(f'"{policy.resolve()}"' for policy in policies)
    home.config.write_text(
        f'''policies = [{named}]
data_directory = "data"
log_format = "json"

[keys]
bls_keystore = "bls.json"
transaction_keystore = "transaction.json"
p2p_keystore = "p2p.json"
password_file = "password"

[network]
home_chain = {home_chain}
registry = "{registry}"
capture_confirmations = 2

[gossip]
listen = "/ip4/127.0.0.1/tcp/{home.port}"
peers = [{others}]

[signer]
listen_seconds = {LISTEN_SECONDS}

[operate]
listen = "127.0.0.1:{home.looking_port}"
{tables}'''
    )


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, all different.

    Below those that the system hands out by itself: one of these could be somebody's before it is ours.
    """
    sockets: list[socket.socket] = []
    try:
        for port in random.SystemRandom().sample(
            range(FIRST_PORT, _first_ephemeral_port()), MOST_PORTS_TRIED
        ):
            if len(sockets) == count:
                break
            each = socket.socket()
            try:
                each.bind(("127.0.0.1", port))
            except OSError:
                each.close()
            else:
                sockets.append(each)
        if len(sockets) < count:
            raise Unavailable(f"of {MOST_PORTS_TRIED} ports {len(sockets)} are free; {count} are needed")
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _first_ephemeral_port() -> int:
    """Where the system's own choice of ports begins; past the last one where that leaves us too few."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32_768  # Linux's own
    return first if first > FIRST_PORT + MOST_PORTS_TRIED else 65_536
