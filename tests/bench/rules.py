"""How long a block's rules take once its data is in: 1,000 expression rules over 200 signals.

    python -m tests.bench.rules [blocks]

The policy is real text through the real parser. Every block brings new values, answered from memory, so that
what is measured is ours alone.
"""

from __future__ import annotations

import gc
import sys
import time
from functools import cache

import trio

from node.evaluate.engine import Engine
from node.evaluate.policy import Policy, parse_policy
from tests.bench.lines import print_line
from tests.evaluate.policies import POOL
from tests.evaluate.recorded import RecordedChain, make_answers

RULES, SIGNALS, LIMIT_MS = 1_000, 200, 100
_SHAPES = (
    "s{a} > 0 and s{b} * 10_000 // s{a} < 9_950",
    "prev(s{a}, 1) > 0 and s{a} * 10_000 // prev(s{a}, 1) < 9_000",
    "bps(abs(s{a} - s{b}), s{b}) > 60 and s{c} > prev(s{c}, 2)",
    "count(s{a} > s{b} * 3, 6) >= 5 or s{c} < s{a} - s{b} * 20",
    "min(s{a}, s{b}, s{c}) * 4 < sum(s{a}, 3) // 10 and not s{a} == s{b}",
)


def _condition(number: int) -> str:
    a, b, c = number % SIGNALS, (number * 7 + 1) % SIGNALS, number * 13 % SIGNALS
    return _SHAPES[number % len(_SHAPES)].format(a=a, b=b, c=c)


@cache
def make_policy() -> Policy:
    """1,000 rules of five shapes over 200 signals."""
    signals = "".join(
        f'  s{n}: {{call: "pool.value(uint256)(uint256)", args: [{n}]}}\n' for n in range(SIGNALS)
    )
    rules = "".join(
        f'  r{n}: {{kind: expression, cooldown_blocks: 50, actions: [], when: "{_condition(n)}"}}\n'
        for n in range(RULES)
    )
    text = (
        "tocsin: 1\nname: bench\nversion: 1\nttl_seconds: 900\nsource_chain_id: 31337\n"
        f'contracts:\n  pool: {{chain_id: 31337, address: "{POOL}"}}\n'
        f"signals:\n{signals}actions: {{}}\nrules:\n{rules}"
    )
    return parse_policy(text.encode())


async def measure(blocks: int) -> tuple[list[float], int]:
    """Milliseconds for each block after the first eight, which fill the windows; and how many rules fired."""
    policy = make_policy()
    engine, chain = Engine(policy), RecordedChain(policy.source_chain_id)
    block, samples, fired = None, [], 0
    for number in range(blocks + 8):
        values = {f"s{n}": 10**18 + (n * 7_919 + number * 104_729) * 10**12 % 10**18 for n in range(SIGNALS)}
        block = chain.extend(block, make_answers(policy, **values))
        gc.collect()
        began = time.perf_counter()
        said = await engine.evaluate(chain.view(block))
        if number >= 8:
            samples.append((time.perf_counter() - began) * 1_000)
            fired += len(said)
    return samples, fired


def main(blocks: int) -> None:
    samples, said = trio.run(measure, blocks)
    print_line(
        "rules_per_block", "ms", samples, rules=RULES, signals=SIGNALS, findings=said, limit_ms=LIMIT_MS
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
