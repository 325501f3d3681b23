"""What commands that look at a chain have in common: which endpoints, which contracts, and no key."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from consensus.errors import Reason, Refused
from consensus.fields import address_from_hex
from consensus.types import Address, BlockNumber, ChainId
from node.chain.rpc import RpcPool, fetch_chain_id, open_pool
from node.chain.types import Endpoint
from node.config import ChainConfig, load_chains

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Where a chain is read."""

    chain_id: ChainId | None
    """None: whatever chain the first endpoint serves."""
    endpoints: tuple[Endpoint, ...]
    agreement: int
    timeout_seconds: float


def looking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `read_sight` and `parse_contracts`."""
    for option in reversed(
        (
            click.option(
                "--config",
                "config_file",
                type=click.Path(path_type=Path),
                help="Endpoints from the [[chains]] of this config.toml; its keys are not touched.",
            ),
            click.option(
                "--chain-id", type=click.IntRange(min=1), help="Which of its chains, if it has several."
            ),
            click.option(
                "--rpc",
                "urls",
                multiple=True,
                help="Instead of --config: an endpoint's address. May be given several times; the address is "
                "seen by whoever lists processes, so one with a credential belongs into a configuration.",
            ),
            click.option(
                "--agreement",
                type=click.IntRange(min=1),
                help="With --rpc: how many endpoints must say the same. Left out, all of them.",
            ),
            click.option(
                "--timeout",
                "timeout_seconds",
                type=click.FloatRange(min=0.1, max=3600),
                default=30.0,
                show_default=True,
                help="With --rpc: seconds for one answer; a trace takes longer than a balance.",
            ),
            click.option(
                "--contracts",
                required=True,
                multiple=True,
                help="The protocol's addresses, with commas between; of a proxy, the proxy's own.",
            ),
        )
    ):
        command = option(command)
    return command


def read_sight(
    *,
    config_file: Path | None,
    chain_id: int | None,
    urls: Sequence[str],
    agreement: int | None,
    timeout_seconds: float,
) -> Sight:
    """Where to look. Raises `Refused` (BAD_CONFIG)."""
    if (config_file is None) == (not urls):
        raise Refused(Reason.BAD_CONFIG, "expected either --config FILE or --rpc URL")
    if config_file is None:
        endpoints = tuple(
            Endpoint(name=f"rpc-{place}", http=_require_http(url)) for place, url in enumerate(urls, start=1)
        )
        return Sight(
            chain_id=None if chain_id is None else ChainId(chain_id),
            endpoints=endpoints,
            agreement=len(endpoints) if agreement is None else agreement,
            timeout_seconds=timeout_seconds,
        )
    watched = load_chains(config_file)
    chain = _choose(watched.chains, chain_id, config_file)
    return Sight(
        chain_id=chain.chain_id,
        endpoints=chain.endpoints,
        agreement=chain.agreement,
        timeout_seconds=watched.rpc_timeout_seconds,
    )


@asynccontextmanager
async def opened(sight: Sight) -> AsyncIterator[RpcPool]:
    """The endpoints, as long as the block lasts. Raises `Unavailable`, `Refused` (BAD_ENDPOINTS)."""
    chain_id = sight.chain_id
    if chain_id is None:
        chain_id = await fetch_chain_id(sight.endpoints[0], timeout_seconds=sight.timeout_seconds)
    async with open_pool(
        chain_id, sight.endpoints, agreement=sight.agreement, timeout_seconds=sight.timeout_seconds
    ) as pool:
        yield pool


def parse_contracts(given: Sequence[str]) -> tuple[Address, ...]:
    """Addresses, in any case, separated by commas. Raises `Refused` (BAD_CONFIG)."""
    contracts: dict[Address, None] = {}
    for part in (part.strip() for each in given for part in each.split(",")):
        if not part:
            continue
        if not _ADDRESS.fullmatch(part):
            raise Refused(
                Reason.BAD_CONFIG, f"--contracts: expected an address, 0x and 40 digits, came {part[:80]!r}"
            )
        contracts[address_from_hex(part)] = None
    if not contracts:
        raise Refused(Reason.BAD_CONFIG, "--contracts: expected at least one address, came none")
    return tuple(contracts)


def parse_blocks(text: str, *, option: str = "--blocks") -> tuple[BlockNumber, BlockNumber]:
    """`FROM:TO`, the value of `option`. Raises `Refused` (BAD_CONFIG)."""
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
        raise Refused(Reason.BAD_CONFIG, f"{option}: expected FROM:TO, such as 100:200, came {text[:80]!r}")
    first, last = (BlockNumber(int(part)) for part in parts)
    if first > last:
        raise Refused(Reason.BAD_CONFIG, f"{option}: {first} comes after {last}; write the smaller one first")
    return first, last


def _choose(chains: Sequence[ChainConfig], chain_id: int | None, file: Path) -> ChainConfig:
    chosen = [chain for chain in chains if chain_id is None or chain.chain_id == chain_id]
    if len(chosen) != 1:
        raise Refused(
            Reason.BAD_CONFIG,
            f"{file.name} has the chains {sorted(chain.chain_id for chain in chains)}; name one of them with "
            "--chain-id",
        )
    return chosen[0]


def _require_http(url: str) -> str:
    if not url.startswith(("http://", "https://")):  # what it is instead is not said: it may be a credential
        raise Refused(Reason.BAD_CONFIG, "--rpc: expected an address that begins with http:// or https://")
    return url
