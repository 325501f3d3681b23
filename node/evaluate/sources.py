"""From a signal's entry in the policy to the signal: which contract, which read, which number of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from consensus.errors import Refused
from consensus.types import Address, ChainId, Seconds
from node.evaluate.document import MapNode, Node
from node.evaluate.events import EventField, EventSignal, Take, parse_event
from node.evaluate.includes import find_file
from node.evaluate.lookups import BlockValues, LookedUpSignal, Outside
from node.evaluate.prices import FeedPrice, MeanPrice, Scale, SpotPrice, Venue
from node.evaluate.problems import Problems, did_you_mean
from node.evaluate.shapes import Entry
from node.evaluate.signals import (
    BalanceSignal,
    CallSignal,
    Signal,
    StorageSignal,
    as_integer,
    encode_call,
    parse_argument,
    parse_call,
)
from node.evaluate.traps import Asks, Trap, TrapSignal, TrapWatch
from node.evaluate.vocabulary import DEFAULT_TO_LEARN, SIGNAL_KINDS

WORD_BITS = 256
Opened = TypeVar("Opened")


class Target(Protocol):
    """A contract of the policy."""

    @property
    def name(self) -> str: ...
    @property
    def chain_id(self) -> ChainId: ...
    @property
    def address(self) -> Address: ...


def parse_signal(
    name: str,
    node: Node,
    contracts: Mapping[str, Target],
    problems: Problems,
    *,
    source_chain_id: ChainId | None,
    outside: Outside | None = None,
    signals: Mapping[str, Signal | None] | None = None,
) -> Signal | None:
    """The signal that the entry describes, or None where that was refused and reported.

    `source_chain_id` is None where the policy's own is malformed. Without `outside`, signals that name files
    are refused. `signals` are the policy's others, None where one was refused; those that read others come
    last (`reads_signals`). Raises `DocumentRefused`.
    """
    kinds = [kind for kind in SIGNAL_KINDS if kind in node.entries()]
    if len(kinds) != 1:
        raise node.key_refusal(
            f"expected exactly one of the keys {', '.join(SIGNAL_KINDS)}, which tells its kind; came "
            f"{' and '.join(kinds) or 'none'}"
        )
    entry = SIGNAL_KINDS[kinds[0]].entry(node, problems)
    if not entry.is_whole:
        return None
    return _Source(name, entry, contracts, source_chain_id, outside, signals or {}).parse(kinds[0])


def reads_signals(node: Node) -> bool:
    """Whether the entry of a signal is of a kind that reads other signals of the policy."""
    return isinstance(node, MapNode) and "series" in node.values


class _Source:
    """One well-formed entry; each method is one kind."""

    def __init__(
        self,
        name: str,
        entry: Entry,
        contracts: Mapping[str, Target],
        source_chain_id: ChainId | None,
        outside: Outside | None,
        signals: Mapping[str, Signal | None],
    ) -> None:
        self._name, self._entry = name, entry
        self._contracts, self._source_chain_id = contracts, source_chain_id
        self._outside, self._signals = outside, signals

    def parse(self, kind: str) -> Signal | None:
        match kind:
            case "call":
                return self._call()
            case "storage":
                return self._storage()
            case "balance":
                return self._balance()
            case "events":
                return self._events()
            case "feed":
                return self._feed()
            case "spot":
                return self._spot()
            case "trap":
                return self._trap()
            case "bridge":
                return self._bridge()
            case "detection":
                return self._detection()
            case "series":
                return self._series()
            case "new_contracts":
                return self._new_contracts()
            case _:
                return self._mean()

    def _target(self, key: str, name: str | Node | None = None) -> Target:
        """The contract that a key names, or one of its items, on the source chain."""
        node = name if isinstance(name, Node) else self._entry.nodes[key]
        name = name.text() if isinstance(name, Node) else name or self._entry.text(key)
        target = self._contracts.get(name)
        if target is None:
            near = did_you_mean(name, self._contracts)
            raise node.refusal(f"no contract is called {name[:48]!r}{near}; declare it under `contracts:`")
        if self._source_chain_id is not None and target.chain_id != self._source_chain_id:
            raise node.refusal(
                f"{target.name} is on chain {target.chain_id}; signals are read on chain "
                f"{self._source_chain_id}"
            )
        return target

    def _addresses(self) -> dict[str, Address]:
        return {name: each.address for name, each in self._contracts.items()}

    def _call(self) -> CallSignal:
        node = self._entry.nodes["call"]
        try:
            call = parse_call(self._entry.text("call"))
            target = self._target("call", call.contract)
            if "args" in self._entry:
                self._check_arguments(call.argument_types)
            calldata = encode_call(call, self._entry.texts("args"), addresses=self._addresses())
        except Refused as error:
            raise error if hasattr(error, "problems") else node.refusal(error.message) from None
        position = self._entry.whole("returns") if "returns" in self._entry else 0
        if position >= len(call.return_types):
            self._entry.nodes["returns"].integer(least=0, most=len(call.return_types) - 1)
        return CallSignal(
            name=self._name,
            contract=target.name,
            call=call.canonical(),
            to=target.address,
            calldata=calldata,
            return_types=call.return_types,
            position=position,
        )

    def _check_arguments(self, types: tuple[str, ...]) -> None:
        """Refuse an argument at its own place; too few or too many are the call's fault."""
        for abi_type, node in zip(types, self._entry.nodes["args"].items(), strict=False):
            try:
                parse_argument(abi_type, node.text(), addresses=self._addresses())
            except Refused as error:
                raise node.refusal(error.message) from None

    def _storage(self) -> StorageSignal:
        target = self._target("storage")
        slot = int(self._entry.text("slot"), 0)
        lowest_bit = self._entry.whole("lowest_bit") if "lowest_bit" in self._entry else 0
        bits = self._entry.whole("bits") if "bits" in self._entry else WORD_BITS - lowest_bit
        if slot >= 1 << WORD_BITS:
            raise self._entry.nodes["slot"].refusal("a slot's number is below 2**256")
        if lowest_bit + bits > WORD_BITS:
            raise self._entry.nodes["bits"].refusal(
                f"a word has {WORD_BITS} bits; from bit {lowest_bit} on there are {WORD_BITS - lowest_bit}"
            )
        return StorageSignal(
            name=self._name,
            contract=target.name,
            account=target.address,
            slot=slot,
            lowest_bit=lowest_bit,
            bits=bits,
        )

    def _balance(self) -> BalanceSignal | CallSignal:
        holder = self._target("balance")
        if "token" not in self._entry:
            return BalanceSignal(name=self._name, contract=holder.name, account=holder.address)
        token = self._target("token")
        call = parse_call(f"{token.name}.balanceOf(address)(uint256)")
        return CallSignal(
            name=self._name,
            contract=token.name,
            call=call.canonical(),
            to=token.address,
            calldata=encode_call(call, (holder.address,), addresses={}),
            return_types=call.return_types,
            position=0,
        )

    def _events(self) -> EventSignal:
        target = self._target("events")
        take = Take(self._entry.text("take"))
        if (take is Take.COUNT) == ("field" in self._entry):
            raise self._entry.nodes["take"].refusal(
                "count takes no field; leave `field` out"
                if take is Take.COUNT
                else "write `field: …` beside it"
            )
        try:
            event = parse_event(self._entry.text("event"))
        except Refused as error:
            raise self._entry.nodes["event"].refusal(error.message) from None
        try:
            field = event.field(self._entry.text("field")) if "field" in self._entry else None
        except Refused as error:
            raise self._entry.nodes["field"].refusal(error.message) from None
        where = self._entry.nodes["where"].entries() if "where" in self._entry else {}
        return EventSignal(
            name=self._name,
            contract=target.name,
            address=target.address,
            event=event,
            take=take,
            field=field,
            where=tuple(
                sorted(
                    ((event.field(key), value) for key, value in self._values(event, where).items()),
                    key=lambda pair: event.fields.index(pair[0]),
                )
            ),
        )

    def _values(self, event: object, where: Mapping[str, Node]) -> dict[str, int]:
        values: dict[str, int] = {}
        for key, node in where.items():
            try:
                field: EventField = event.field(key)  # type: ignore[attr-defined]
                values[key] = as_integer(
                    parse_argument(field.abi_type, node.text(), addresses=self._addresses())
                )
            except Refused as error:
                raise error if hasattr(error, "problems") else node.refusal(error.message) from None
        return values

    def _feed(self) -> FeedPrice:
        target = self._target("feed")
        return FeedPrice(
            name=self._name,
            contract=target.name,
            to=target.address,
            feed_decimals=self._entry.whole("feed_decimals"),
            decimals=self._entry.whole("decimals"),
            max_age_seconds=Seconds(self._entry.whole("max_age_seconds")),
        )

    def _scale(self) -> Scale:
        node = self._entry.nodes["token_decimals"]
        decimals = tuple(each.integer(least=0, most=WORD_BITS) for each in node.items())
        if len(decimals) != 2:
            raise node.refusal(f"expected the decimals of both tokens, as `[18, 6]`; came {len(decimals)}")
        return Scale(
            base=0 if self._entry.text("of") == "token0" else 1,
            token_decimals=(decimals[0], decimals[1]),
            decimals=self._entry.whole("decimals"),
        )

    def _spot(self) -> SpotPrice:
        target = self._target("spot")
        return SpotPrice(
            name=self._name,
            contract=target.name,
            to=target.address,
            venue=Venue(self._entry.text("venue")),
            scale=self._scale(),
        )

    def _trap(self) -> TrapSignal:
        code = bytes.fromhex(self._entry.text("trap").removeprefix("0x"))
        trap = Trap(name=self._name, code=code, samples=self._entry.whole("samples"))
        return TrapSignal(name=self._name, asks=Asks(self._entry.text("asks")), watch=TrapWatch(trap))

    def _bridge(self) -> LookedUpSignal:
        node = self._entry.nodes["bridge"]
        if self._outside is None:
            raise node.refusal("only a policy that is read from a file can name another; give its path")
        bridge = _opened(node, self._outside.read_bridge, self._outside)
        if self._source_chain_id not in (None, bridge.releases_chain_id):
            raise node.refusal(
                f"its releases are on chain {bridge.releases_chain_id}, and this policy watches chain "
                f"{self._source_chain_id}; a rule policy watches the side of the releases"
            )
        values = bridge.make_values(
            take=self._entry.text("take"), lookback_seconds=Seconds(self._entry.whole("lookback_seconds"))
        )
        return LookedUpSignal(name=self._name, values=values)

    def _opener(self, node: Node) -> Outside:
        """Who opens the policy that `node` names, and what was learned under it."""
        if "learned" in self._entry and "learn" in self._entry:
            raise self._entry.nodes["learn"].key_refusal(
                "with `learned` nothing more is learned before judging; leave `learn` out"
            )
        if self._outside is None:
            raise node.refusal("only a policy that is read from a file can name another; give its path")
        return self._outside

    def _series(self) -> LookedUpSignal | None:
        node = self._entry.nodes["series"]
        outside = self._opener(node)
        detection = _opened(node, outside.read_series, outside)
        sources = self._sources(node, detection.series)
        if sources is None:
            return None
        learned = self._entry.nodes.get("learned")

        def make_values(file: Path | None) -> BlockValues:
            return detection.make_values(
                chain_id=self._source_chain_id or ChainId(1),
                rule=self._entry.text("rule") if "rule" in self._entry else None,
                sources=sources,
                learned=file,
                to_learn=self._entry.whole("learn") if "learn" in self._entry else DEFAULT_TO_LEARN,
            )

        try:
            values = make_values(None)
        except Refused as error:
            raise self._entry.nodes.get("rule", node).refusal(error.message) from None
        if learned is not None:
            values = _opened(learned, make_values, outside)
        return LookedUpSignal(name=self._name, values=values)

    def _sources(self, node: Node, series: Sequence[str]) -> dict[str, Signal] | None:
        """The signals that bear the names of the series; None where one was refused, which is reported."""
        sources: dict[str, Signal] = {}
        for name in series:
            if name not in self._signals:
                near = did_you_mean(name, self._signals)
                raise node.refusal(
                    f"its series {name} is no signal of this policy{near}; declare one of that name"
                )
            source = self._signals[name]
            if isinstance(source, LookedUpSignal) or name == self._name:
                raise node.refusal(f"its series {name} is worked out by another room; name one that is read")
            if source is None:
                return None
            sources[name] = source
        return sources

    def _detection(self) -> LookedUpSignal:
        node = self._entry.nodes["detection"]
        outside = self._opener(node)
        contracts = self._named_contracts("contracts")
        detection = _opened(node, outside.read_detection, outside)
        learned = self._entry.nodes.get("learned")

        def make_values(file: Path | None) -> BlockValues:
            return detection.make_values(
                chain_id=self._source_chain_id or ChainId(1),
                contracts=contracts,
                learned=file,
                to_learn=self._entry.whole("learn") if "learn" in self._entry else DEFAULT_TO_LEARN,
            )

        values = make_values(None) if learned is None else _opened(learned, make_values, outside)
        return LookedUpSignal(name=self._name, values=values, is_detection=True)

    def _new_contracts(self) -> LookedUpSignal:
        contracts = self._named_contracts("new_contracts")
        if self._outside is None:
            raise self._entry.nodes["new_contracts"].refusal(
                "is worked out for policies that are read from a file alone; give its path"
            )
        return LookedUpSignal(name=self._name, values=self._outside.make_new_contracts(contracts))

    def _named_contracts(self, key: str) -> dict[str, Address]:
        node = self._entry.nodes[key]
        contracts: dict[str, Address] = {}
        for item in node.items():
            target = self._target(key, item)
            if target.address in contracts.values():
                raise item.refusal(f"{target.name} is named twice; keep one")
            contracts[target.name] = target.address
        if not contracts:
            raise node.refusal("expected at least one contract; name those that are watched")
        return contracts

    def _mean(self) -> MeanPrice:
        target, venue = self._target("twap"), Venue(self._entry.text("venue"))
        wanted, other = ("window_blocks", "window_seconds")
        if venue is Venue.UNISWAP_V3:
            wanted, other = other, wanted
        if wanted not in self._entry:
            raise self._entry.node.key_refusal(f"{venue.value} needs `{wanted}`; write `{wanted}: …`")
        if other in self._entry:
            raise self._entry.nodes[other].key_refusal(f"{venue.value} has `{wanted}`; leave `{other}` out")
        return MeanPrice(
            name=self._name,
            contract=target.name,
            to=target.address,
            venue=venue,
            scale=self._scale(),
            window=self._entry.whole(wanted),
        )


def _opened(node: Node, read: Callable[[Path], Opened], outside: Outside) -> Opened:
    """What stands in the file that a node names; refused at the node."""
    file = find_file(node, outside.folder)
    try:
        return read(file)
    except Refused as error:
        raise node.refusal(error.message) from None
