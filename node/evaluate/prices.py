"""Prices as fixed-point integers: how many 10**-decimals of the quote one whole unit of the base is worth.

Every division rounds down. A price that is stale, not positive, or of an empty pool is no price: the signal
has no value then, and a rule over it is unknown.

- `FeedPrice`: the answer of a Chainlink-like feed (`latestRoundData`).
- `SpotPrice`: reserves of a Uniswap-v2-like pair, or `slot0` of a v3-like pool.
- `MeanPrice`: the same pools over time, from the accumulators that they keep (v2: `price0CumulativeLast`,
  brought up to the block as `UniswapV2OracleLibrary` does; v3: `observe`, as `OracleLibrary.consult`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from consensus.errors import Reason
from consensus.fields import WORD_BYTES
from consensus.types import Address, Seconds
from node.evaluate.expressions import Undefined
from node.evaluate.signals import read_call, selector
from node.evaluate.ticks import MAX_TICK, compute_sqrt_ratio
from node.evaluate.views import View, Wants

Q112: Final = 2**112
Q192: Final = 2**192
_WORD: Final = 2**256
_UINT32: Final = 2**32
_LATEST_ROUND: Final = selector("latestRoundData()")
_RESERVES: Final = selector("getReserves()")
_SLOT0: Final = selector("slot0()")
_CUMULATIVE: Final = (selector("price0CumulativeLast()"), selector("price1CumulativeLast()"))
_OBSERVE: Final = selector("observe(uint32[])")


class Venue(Enum):
    """Whose interface a pool has; forks keep it."""

    UNISWAP_V2 = "uniswap-v2"
    UNISWAP_V3 = "uniswap-v3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How a pool's raw ratio becomes a price: which token is priced, and everybody's decimals."""

    base: int
    """0 or 1: which of the pool's tokens is priced, in units of the other."""
    token_decimals: tuple[int, int]
    decimals: int

    def price(self, numerator: int, denominator: int) -> int:
        """The price where raw quote / raw base is numerator / denominator; rounded down."""
        base, quote = self.token_decimals[self.base], self.token_decimals[1 - self.base]
        price: int = numerator * 10 ** (base + self.decimals) // (denominator * 10**quote)
        return price

    def form(self) -> dict[str, object]:
        return {"of": self.base, "token_decimals": list(self.token_decimals), "decimals": self.decimals}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPrice:
    """What a feed last answered, if that is positive and not older than `max_age_seconds`."""

    name: str
    contract: str
    to: Address
    feed_decimals: int
    decimals: int
    max_age_seconds: Seconds

    def wants(self) -> Wants:
        return Wants(calls=((self.to, _LATEST_ROUND),))

    async def read(self, view: View) -> int | Undefined:
        returned = await read_call(self.name, view, self.to, _LATEST_ROUND)
        words = _words(self.name, returned, ("uint80", "int256", "uint256", "uint256", "uint80"))
        if isinstance(words, Undefined):
            return words
        answer, updated_at = words[1], words[3]
        if answer <= 0:
            return _unusable(self.name, f"the feed answers {answer}, which is no price")
        age = view.ref.timestamp - updated_at
        if updated_at == 0 or not 0 <= age <= self.max_age_seconds:
            return _unusable(
                self.name,
                f"the feed's answer is of {updated_at}, {age} seconds before the block; at most "
                f"{self.max_age_seconds} are taken",
            )
        price: int = answer * 10**self.decimals // 10**self.feed_decimals
        return price

    def form(self) -> dict[str, object]:
        return {
            "feed": self.contract,
            "feed_decimals": self.feed_decimals,
            "decimals": self.decimals,
            "max_age_seconds": self.max_age_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotPrice:
    """The price at which a pool would trade a little at the end of this block."""

    name: str
    contract: str
    to: Address
    venue: Venue
    scale: Scale

    def wants(self) -> Wants:
        return Wants(calls=((self.to, _RESERVES if self.venue is Venue.UNISWAP_V2 else _SLOT0),))

    async def read(self, view: View) -> int | Undefined:
        if self.venue is Venue.UNISWAP_V2:
            reserves = await _read_reserves(self.name, view, self.to)
            if isinstance(reserves, Undefined):
                return reserves
            return self.scale.price(reserves[1 - self.scale.base], reserves[self.scale.base])
        words = _words(self.name, await read_call(self.name, view, self.to, _SLOT0), ("uint160",))
        if isinstance(words, Undefined):
            return words
        if words[0] == 0:
            return _unusable(self.name, "the pool has no price yet")
        return _price_of_square_root(words[0], self.scale)

    def form(self) -> dict[str, object]:
        return {"spot": self.contract, "venue": self.venue.value, **self.scale.form()}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanPrice:
    """The time-weighted price over `window`: blocks for v2 (arithmetic mean), seconds for v3 (geometric)."""

    name: str
    contract: str
    to: Address
    venue: Venue
    scale: Scale
    window: int

    def wants(self) -> Wants:
        if self.venue is Venue.UNISWAP_V2:
            return self._cumulative_wants()
        return Wants(calls=((self.to, self._observe()),))

    async def read(self, view: View) -> int | Undefined:
        return await (self._read_v2(view) if self.venue is Venue.UNISWAP_V2 else self._read_v3(view))

    def form(self) -> dict[str, object]:
        unit = "window_blocks" if self.venue is Venue.UNISWAP_V2 else "window_seconds"
        return {"twap": self.contract, "venue": self.venue.value, unit: self.window, **self.scale.form()}

    def _cumulative_wants(self) -> Wants:
        return Wants(calls=((self.to, _RESERVES), (self.to, _CUMULATIVE[self.scale.base])))

    async def _read_v2(self, view: View) -> int | Undefined:
        if view.ref.number < self.window:
            return Undefined(
                Reason.HISTORY_TOO_SHORT,
                f"{self.name} looks {self.window} blocks back, block {view.ref.number} has fewer before it",
            )
        then = await view.ancestor(self.window)
        await then.prefetch(self._cumulative_wants().calls)
        end, start = await self._read_cumulative(view), await self._read_cumulative(then)
        if isinstance(end, Undefined):
            return end
        if isinstance(start, Undefined):
            return start
        elapsed = view.ref.timestamp - then.ref.timestamp
        if elapsed <= 0:
            return _unusable(self.name, f"no time passed in {self.window} blocks")
        return self.scale.price((end - start) % _WORD, elapsed * Q112)

    async def _read_cumulative(self, view: View) -> int | Undefined:
        """The accumulator as it would stand at this block's time; it wraps at 2**256, as the pair's does."""
        reserves = await _read_reserves(self.name, view, self.to)
        if isinstance(reserves, Undefined):
            return reserves
        returned = await read_call(self.name, view, self.to, _CUMULATIVE[self.scale.base])
        words = _words(self.name, returned, ("uint256",))
        if isinstance(words, Undefined):
            return words
        since_last = (view.ref.timestamp - reserves[2]) % _UINT32
        running = (reserves[1 - self.scale.base] * Q112 // reserves[self.scale.base]) * since_last
        return (words[0] + running) % _WORD

    async def _read_v3(self, view: View) -> int | Undefined:
        returned = await read_call(self.name, view, self.to, self._observe())
        ticks = _observed(self.name, returned)
        if isinstance(ticks, Undefined):
            return ticks
        tick = (ticks[1] - ticks[0]) // self.window  # rounds down below zero too, as OracleLibrary does
        if abs(tick) > MAX_TICK:
            return _unusable(self.name, f"the mean tick {tick} lies outside of what a pool can have")
        return _price_of_square_root(compute_sqrt_ratio(tick), self.scale)

    def _observe(self) -> bytes:
        return _OBSERVE + encode(["uint32[]"], [[self.window, 0]])


def _price_of_square_root(sqrt_ratio: int, scale: Scale) -> int:
    """The price for a square root of token1/token0 in Q64.96."""
    square = sqrt_ratio * sqrt_ratio
    return scale.price(square, Q192) if scale.base == 0 else scale.price(Q192, square)


async def _read_reserves(name: str, view: View, to: Address) -> tuple[int, int, int] | Undefined:
    """Both reserves, which are not 0, and the time of their last change in seconds, modulo 2**32."""
    returned = await read_call(name, view, to, _RESERVES)
    words = _words(name, returned, ("uint112", "uint112", "uint32"))
    if isinstance(words, Undefined):
        return words
    if 0 in words[:2]:
        return _unusable(name, "the pool is empty")
    return words[0], words[1], words[2]


def _words(name: str, returned: bytes | Undefined, types: tuple[str, ...]) -> tuple[int, ...] | Undefined:
    """The first words of what a contract returned; more may follow, as forks add some."""
    if isinstance(returned, Undefined):
        return returned
    size = WORD_BYTES * len(types)
    if len(returned) < size:
        return Undefined(
            Reason.SIGNAL_UNDEFINED, f"{name}: expected {size} bytes from the contract, came {len(returned)}"
        )
    try:
        return tuple(int(value) for value in decode(types, returned[:size]))
    except DecodingError:
        return Undefined(Reason.SIGNAL_UNDEFINED, f"{name}: the contract returned words of other types")


def _observed(name: str, returned: bytes | Undefined) -> tuple[int, int] | Undefined:
    """Both tick accumulators out of `(int56[], uint160[])`, where the ABI's encoder puts them."""
    words = _words(name, returned, ("uint256", "uint256", "uint256", "int56", "int56"))
    if isinstance(words, Undefined):
        return words
    if (words[0], words[2]) != (2 * WORD_BYTES, 2):
        return Undefined(
            Reason.SIGNAL_UNDEFINED, f"{name}: `observe` returned something else than two arrays of two"
        )
    return words[3], words[4]


def _unusable(name: str, message: str) -> Undefined:
    return Undefined(Reason.PRICE_UNUSABLE, f"{name}: {message}")
