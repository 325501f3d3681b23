"""The configuration of one watcher: one TOML file in, one frozen `Config` out, checked once.

Nothing else reads the file or the environment. Paths are relative to the file's own folder. Secrets never
stand in it: keys lie in keystores, and an RPC address that carries a credential goes into a file of its
own (`http_file`, `ws_file`).
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec
from eth_utils.address import is_checksum_address

from consensus.errors import Reason, Refused
from consensus.types import Address, ChainId
from node.chain.types import Endpoint, RouteConfig, RouteKind
from node.private_files import require_private

T = TypeVar("T")

MAX_CONFIG_BYTES = 262_144
MAX_LISTEN_SECONDS = 300.0
MAX_PUBLIC_AFTER_BLOCKS = 25  # five minutes on the slowest of the chains in use
MAX_CONFIRMATIONS = 1_024  # an alert lives for minutes; after it nothing could be sent again anyway
HTTP_SCHEMES = ("http://", "https://")
WS_SCHEMES = ("ws://", "wss://")
DEFAULT_OPERATE_LISTEN = "127.0.0.1:9464"  # loopback: a snapshot is no secret, and nobody else's business
_HOST_AND_PORT = re.compile(r"([A-Za-z0-9.-]+|\[[0-9a-f:]+\]):[0-9]{1,5}", re.ASCII)


class LogFormat(StrEnum):
    """How log lines are written: for a person, or for a machine."""

    CONSOLE = "console"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where the three keys of an operator lie; each is encrypted under the same password file.

    `bls_keystore` is None where a signer holds that key.
    """

    bls_keystore: Path | None
    transaction_keystore: Path
    p2p_keystore: Path
    password_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainConfig:
    """One chain that is watched or answered on. `agreement` endpoints must say the same before it counts.

    `max_fee_gwei` is the most that a response may pay for a unit of gas there; an effect is looked at until
    it has stood for `confirmations` blocks. `verifiers` are brought up to date beside those of the policies'
    guardians. A transaction goes the ways in `submit` first, into the public pool `public_after_blocks`
    later.
    """

    chain_id: ChainId
    name: str
    agreement: int
    max_fee_gwei: int
    confirmations: int
    verifiers: tuple[Address, ...]
    endpoints: tuple[Endpoint, ...]
    submit: tuple[RouteConfig, ...] = ()
    public_after_blocks: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """The network that this operator belongs to: its registry on the home chain.

    A capture is handed over to once it is `capture_confirmations` blocks deep there.
    """

    home_chain: ChainId
    registry: Address
    activation_delay_seconds: int
    capture_confirmations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipConfig:
    """Where to listen, and where operators may be found (multiaddrs ending in /p2p/<peer id>).

    `announce` are multiaddrs that other operators are told, none for `listen`; `relays` the peer ids that may
    pull beside the operators.
    """

    listen: str
    peers: tuple[str, ...]
    announce: tuple[str, ...]
    relays: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerConfig:
    """How this watcher comes to signatures. For `listen_seconds` after a start it only listens.

    `socket` is where a signer listens that holds the BLS key and the journal, and `pair` this watcher's file
    of the pair; None where this process holds both itself.
    """

    listen_seconds: float
    socket: Path | None
    pair: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperateConfig:
    """Where health, status and metrics are served (`host:port`); None: nowhere."""

    listen: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything one watcher is told."""

    keys: Keys
    network: NetworkConfig
    gossip: GossipConfig
    signer: SignerConfig
    operate: OperateConfig
    chains: tuple[ChainConfig, ...]
    policies: tuple[Path, ...]
    data_directory: Path
    log_format: LogFormat
    rpc_timeout_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PullingConfig:
    """How a relay reaches operators: the identity that they name in `gossip.relays`, and their addresses."""

    p2p_keystore: Path
    listen: str
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """Everything one relay is told: a watcher's configuration without the keys that sign.

    Without `pulling` it knows what landed on some chain, and nothing before.
    """

    transaction_keystore: Path
    password_file: Path
    pulling: PullingConfig | None
    network: NetworkConfig
    chains: tuple[ChainConfig, ...]
    policies: tuple[Path, ...]
    log_format: LogFormat
    rpc_timeout_seconds: float


class _Keys(msgspec.Struct, forbid_unknown_fields=True):
    transaction_keystore: str
    p2p_keystore: str
    password_file: str
    bls_keystore: str | None = None


class _Endpoint(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    http: str | None = None
    ws: str | None = None
    http_file: str | None = None
    ws_file: str | None = None


class _Route(msgspec.Struct, forbid_unknown_fields=True):
    kind: RouteKind
    name: str
    http: str | None = None
    http_file: str | None = None


class _Chain(msgspec.Struct, forbid_unknown_fields=True):
    id: int
    name: str
    endpoints: list[_Endpoint]
    agreement: int = 2
    max_fee_gwei: int = 500
    confirmations: int = 12
    verifiers: list[str] = []
    submit: list[_Route] = []
    public_after_blocks: int = 2


class _Network(msgspec.Struct, forbid_unknown_fields=True):
    home_chain: int
    registry: str
    activation_delay_seconds: int = 0
    capture_confirmations: int = 64


class _Gossip(msgspec.Struct, forbid_unknown_fields=True):
    listen: str = "/ip4/0.0.0.0/tcp/4601"
    peers: list[str] = []
    announce: list[str] = []
    relays: list[str] = []


class _Signer(msgspec.Struct, forbid_unknown_fields=True):
    listen_seconds: float = 5.0
    socket: str | None = None
    pair: str | None = None


class _Operate(msgspec.Struct, forbid_unknown_fields=True):
    listen: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: _Keys
    network: _Network
    chains: list[_Chain]
    policies: list[str]
    gossip: _Gossip = msgspec.field(default_factory=_Gossip)
    signer: _Signer = msgspec.field(default_factory=_Signer)
    operate: _Operate = msgspec.field(default_factory=_Operate)
    data_directory: str = "data"
    log_format: LogFormat = LogFormat.CONSOLE
    rpc_timeout_seconds: float = 4.0


class _RelayKeys(msgspec.Struct, forbid_unknown_fields=True):
    transaction_keystore: str
    password_file: str
    p2p_keystore: str | None = None


class _RelayGossip(msgspec.Struct, forbid_unknown_fields=True):
    peers: list[str]
    listen: str = "/ip4/0.0.0.0/tcp/4601"


class _RelayFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    gossip: _RelayGossip | None = None
    keys: _RelayKeys
    network: _Network
    chains: list[_Chain]
    policies: list[str]
    log_format: LogFormat = LogFormat.CONSOLE
    rpc_timeout_seconds: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What there is to know of the chains alone: enough to look on, without keys."""

    chains: tuple[ChainConfig, ...]
    rpc_timeout_seconds: float


class _ChainsOfFile(msgspec.Struct):
    """The part of the file that is about chains; whatever else stands in it is left unread."""

    chains: list[_Chain]
    rpc_timeout_seconds: float = 4.0


def load_chains(path: Path) -> Watched:
    """The chains in the TOML file at `path`, for who only looks on: it needs no keys, network or policies.

    Raises `Refused(BAD_CONFIG)` as `load_config` does.
    """
    parsed = _parse(path, _ChainsOfFile)
    _require_timeout(parsed.rpc_timeout_seconds, path)
    if not parsed.chains:
        raise _refuse(path, "names no chain; write a [[chains]] table")
    return Watched(
        chains=tuple(_chain(chain, path) for chain in parsed.chains),
        rpc_timeout_seconds=parsed.rpc_timeout_seconds,
    )


def load_config(path: Path) -> Config:
    """The `Config` in the TOML file at `path`.

    Raises `Refused(BAD_CONFIG)` with the place and the expectation when the file is missing, too large, not
    TOML, has an unknown key, a wrong type, or a value that cannot work.
    """
    return _checked(_parse(path, _File), path)


def load_relay_config(path: Path) -> RelayConfig:
    """The `RelayConfig` in the TOML file at `path`. Raises `Refused(BAD_CONFIG)` as `load_config` does."""
    parsed = _parse(path, _RelayFile)
    folder = path.resolve().parent
    _require_timeout(parsed.rpc_timeout_seconds, path)
    chains = _chains(parsed.chains, path)
    return RelayConfig(
        transaction_keystore=folder / parsed.keys.transaction_keystore,
        password_file=folder / parsed.keys.password_file,
        pulling=_pulling(parsed, path),
        network=_network(parsed.network, chains, path),
        chains=chains,
        policies=_policies(parsed.policies, path),
        log_format=parsed.log_format,
        rpc_timeout_seconds=parsed.rpc_timeout_seconds,
    )


def _pulling(parsed: _RelayFile, path: Path) -> PullingConfig | None:
    keystore, gossip = parsed.keys.p2p_keystore, parsed.gossip
    if keystore is None and gossip is None:
        return None
    if keystore is None or gossip is None or not gossip.peers:
        raise _refuse(
            path,
            "must give keys.p2p_keystore and gossip.peers together, or neither: with them it pulls from "
            "operators that name its peer id, without them it reads the chains alone",
        )
    return PullingConfig(
        p2p_keystore=path.resolve().parent / keystore, listen=gossip.listen, peers=tuple(gossip.peers)
    )


def _parse(path: Path, shape: type[T]) -> T:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _refuse(
            path, f"cannot be read ({error.strerror}); name an existing file with --config"
        ) from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise _refuse(path, f"has {len(raw)} bytes, at most {MAX_CONFIG_BYTES} are read")
    try:
        return msgspec.convert(tomllib.loads(raw.decode()), shape)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise _refuse(path, str(error)) from error


def _require_timeout(seconds: float, path: Path) -> None:
    if not 0 < seconds < math.inf:
        raise _refuse(path, f"has rpc_timeout_seconds {seconds}; write how long one answer may take")


def _chains(parsed: list[_Chain], path: Path) -> tuple[ChainConfig, ...]:
    chains = tuple(_chain(chain, path) for chain in parsed)
    chain_ids = [chain.chain_id for chain in chains]
    if len(set(chain_ids)) != len(chain_ids):
        raise _refuse(path, f"names a chain twice: {sorted(chain_ids)}; keep one [[chains]] table for each")
    return chains


def _network(parsed: _Network, chains: tuple[ChainConfig, ...], path: Path) -> NetworkConfig:
    chain_ids = [chain.chain_id for chain in chains]
    if parsed.home_chain not in chain_ids:
        raise _refuse(
            path,
            f"has network.home_chain {parsed.home_chain}, which is none of the chains "
            f"{sorted(chain_ids)}; add a [[chains]] table for it: the operator set is read there",
        )
    if not is_checksum_address(parsed.registry):
        raise _refuse(path, f"network.registry must be a checksummed address, got {parsed.registry!r}")
    if parsed.activation_delay_seconds < 0:
        raise _refuse(path, "has a negative network.activation_delay_seconds; 0 is at once")
    if parsed.capture_confirmations < 0:
        raise _refuse(path, "has a negative network.capture_confirmations; write how deep a capture must be")
    return NetworkConfig(
        home_chain=ChainId(parsed.home_chain),
        registry=Address(parsed.registry),
        activation_delay_seconds=parsed.activation_delay_seconds,
        capture_confirmations=parsed.capture_confirmations,
    )


def _policies(parsed: list[str], path: Path) -> tuple[Path, ...]:
    if not parsed:
        raise _refuse(path, "names no policy; without one there is nothing to watch")
    return tuple(path.resolve().parent / policy for policy in parsed)


def _checked(parsed: _File, path: Path) -> Config:
    folder = path.resolve().parent
    _require_timeout(parsed.rpc_timeout_seconds, path)
    chains = _chains(parsed.chains, path)
    return Config(
        keys=Keys(
            bls_keystore=None if parsed.keys.bls_keystore is None else folder / parsed.keys.bls_keystore,
            transaction_keystore=folder / parsed.keys.transaction_keystore,
            p2p_keystore=folder / parsed.keys.p2p_keystore,
            password_file=folder / parsed.keys.password_file,
        ),
        network=_network(parsed.network, chains, path),
        gossip=GossipConfig(
            listen=parsed.gossip.listen,
            peers=tuple(parsed.gossip.peers),
            announce=tuple(parsed.gossip.announce),
            relays=tuple(parsed.gossip.relays),
        ),
        signer=_signer(parsed, path),
        operate=OperateConfig(listen=_listen(parsed.operate.listen, path)),
        chains=chains,
        policies=_policies(parsed.policies, path),
        data_directory=folder / parsed.data_directory,
        log_format=parsed.log_format,
        rpc_timeout_seconds=parsed.rpc_timeout_seconds,
    )


def _signer(parsed: _File, path: Path) -> SignerConfig:
    signer = parsed.signer
    if (signer.socket is None) != (signer.pair is None):
        raise _refuse(
            path, "has one of signer.socket and signer.pair; a signer is reached by both, or not used"
        )
    if (signer.socket is None) == (parsed.keys.bls_keystore is None):
        raise _refuse(
            path,
            "must name either keys.bls_keystore, or signer.socket and signer.pair: the BLS key is in this "
            "process or in the signer, never in both",
        )
    if not 0 <= signer.listen_seconds <= MAX_LISTEN_SECONDS:
        raise _refuse(
            path,
            f"has signer.listen_seconds {signer.listen_seconds}, which must be 0 to {MAX_LISTEN_SECONDS}: as "
            "long as peers need to tell what they hold, and no longer than an incident can wait",
        )
    folder = path.resolve().parent
    return SignerConfig(
        listen_seconds=signer.listen_seconds,
        socket=None if signer.socket is None else folder / signer.socket,
        pair=None if signer.pair is None else folder / signer.pair,
    )


def _listen(listen: str | None, path: Path) -> str | None:
    if listen is not None and not _HOST_AND_PORT.fullmatch(listen):
        raise _refuse(
            path, f"has operate.listen {listen[:80]!r}; write host:port, such as {DEFAULT_OPERATE_LISTEN}"
        )
    return listen


def _chain(chain: _Chain, path: Path) -> ChainConfig:
    if not 1 <= chain.agreement <= len(chain.endpoints):
        raise _refuse(
            path,
            f"wants {chain.agreement} agreeing endpoints on chain {chain.id} but names "
            f"{len(chain.endpoints)}; add endpoints of independent providers, or lower `agreement` where you "
            "trust your own node",
        )
    names = [endpoint.name for endpoint in chain.endpoints]
    if len(set(names)) != len(names):
        raise _refuse(path, f"gives two endpoints of chain {chain.id} one name: {sorted(names)}")
    if chain.max_fee_gwei < 1:
        raise _refuse(
            path, f"has max_fee_gwei {chain.max_fee_gwei} on chain {chain.id}; at 0 no response is ever sent"
        )
    if not 0 <= chain.confirmations <= MAX_CONFIRMATIONS:
        raise _refuse(
            path,
            f"has confirmations {chain.confirmations} on chain {chain.id}; write for how many blocks an "
            f"effect is looked at, at most {MAX_CONFIRMATIONS}",
        )
    for verifier in chain.verifiers:
        if not is_checksum_address(verifier):
            raise _refuse(path, f"chains.verifiers takes checksummed addresses, got {verifier!r}")
    endpoints = tuple(
        Endpoint(
            name=endpoint.name,
            http=_address(endpoint.http, endpoint.http_file, path, f"{endpoint.name}.http", HTTP_SCHEMES),
            ws=_optional_address(endpoint.ws, endpoint.ws_file, path, f"{endpoint.name}.ws"),
        )
        for endpoint in chain.endpoints
    )
    return ChainConfig(
        chain_id=ChainId(chain.id),
        name=chain.name,
        agreement=chain.agreement,
        max_fee_gwei=chain.max_fee_gwei,
        confirmations=chain.confirmations,
        verifiers=tuple(Address(verifier) for verifier in chain.verifiers),
        submit=_routes(chain, path),
        public_after_blocks=chain.public_after_blocks,
        endpoints=endpoints,
    )


def _routes(chain: _Chain, path: Path) -> tuple[RouteConfig, ...]:
    if not 0 <= chain.public_after_blocks <= MAX_PUBLIC_AFTER_BLOCKS:
        raise _refuse(
            path,
            f"has public_after_blocks {chain.public_after_blocks} on chain {chain.id}, which must be 0 to "
            f"{MAX_PUBLIC_AFTER_BLOCKS}: what no builder takes has to reach the public pool in time",
        )
    return tuple(
        RouteConfig(
            kind=route.kind,
            endpoint=Endpoint(
                name=route.name,
                http=_address(route.http, route.http_file, path, f"{route.name}.http", HTTP_SCHEMES),
            ),
        )
        for route in chain.submit
    )


def _optional_address(value: str | None, file: str | None, path: Path, key: str) -> str | None:
    return None if value is None and file is None else _address(value, file, path, key, WS_SCHEMES)


def _address(value: str | None, file: str | None, path: Path, key: str, schemes: tuple[str, str]) -> str:
    if (value is None) == (file is None):
        raise _refuse(path, f"must give either {key} or {key}_file")
    address = _read_address(file, path, key) if value is None and file is not None else value or ""
    if not address.startswith(schemes):  # what it is instead is not said: it may be a credential
        raise _refuse(
            path, f"{key} must begin with {' or '.join(schemes)}; write the provider's whole address"
        )
    return address


def _read_address(file: str, path: Path, key: str) -> str:
    named = path.resolve().parent / file
    try:
        require_private(named)
        return named.read_text().strip()
    except OSError as error:
        raise _refuse(path, f"names {key}_file, which cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise _refuse(path, f"names {key}_file, which is no text; write the address on one line") from None


def _refuse(path: Path, what: str) -> Refused:
    return Refused(Reason.BAD_CONFIG, f"{path.name} {what}")
