"""A snapshot in words and in JSON: what am I watching, how fresh, who is heard, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.operate.health import examine, is_ready
from node.operate.snapshot import ChainSight, Snapshot


def describe(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as plain JSON values: what `/status` gives and `tocsin status` shows."""
    problems = examine(snapshot)
    standing = snapshot.standing
    transport = snapshot.gossip.transport
    return {
        "ready": is_ready(problems),
        "operator": snapshot.operator,
        "peer_id": snapshot.peer_id,
        "uptime_seconds": round(snapshot.uptime_seconds, 1),
        "chain_time": snapshot.chain_time,
        "chains": [_chain(chain) for chain in snapshot.chains],
        "epoch": None
        if standing is None
        else {
            "epoch": standing.epoch,
            "valid_until": standing.valid_until,
            "operators": standing.operators,
            # weights pass what JSON's readers hold as a number
            "total_weight": str(standing.total_weight),
            "own_weight": str(standing.own_weight),
            "online_weight": str(standing.online_weight),
            "online_bps": 10_000 * standing.online_weight // max(1, standing.total_weight),
        },
        "peers": {
            "connected": list(transport.connected),
            "registered": transport.registered,
            "banned": list(transport.banned),
        },
        "detections": [
            {
                "chain_id": chain_id,
                "kind": row.topic,
                "policy": row.policy,
                "standing": row.standing.value,
                "detail": row.detail,
                "block_number": None if row.head is None else row.head.number,
                "passed_over": row.passed_over,
            }
            for chain_id, live in snapshot.live
            for row in live.rows
        ],
        "alerts": {
            "raised": sum(room.alerts for _, room in snapshot.evaluation),
            "signed": snapshot.signing.signed,
            "counted": snapshot.tallying.counted,
            "open": snapshot.responding.open_incidents,
            "effects": snapshot.responding.effects,
        },
        "problems": [problem.as_dict() for problem in problems],
    }


def _chain(chain: ChainSight) -> dict[str, Any]:
    head = chain.heads.head
    return {
        "chain_id": chain.chain_id,
        "name": chain.name,
        "is_source": chain.is_source,
        "head": None if head is None else {"number": head.number, "hash": f"0x{head.hash.hex()}"},
        "head_age_seconds": None if chain.head_age_seconds is None else round(chain.head_age_seconds, 1),
        "agreement": chain.rpc.agreement,
        "endpoints": [
            {
                "name": each.name,
                "health": each.health.value,
                "failures": each.failures,
                "outvoted": each.outvoted,
                "last_failure": each.last_failure,
            }
            for each in chain.rpc.endpoints
        ],
    }


def render_status(status: Mapping[str, Any]) -> str:
    """What `describe` gave, for a person: a line a thing, and what is wrong at the end with what to do."""
    lines = [
        f"{'ready' if status['ready'] else 'NOT READY'}   operator {status['operator']}, "
        f"up {_duration(status['uptime_seconds'])}"
    ]
    for chain in status["chains"]:
        part = "watches" if chain["is_source"] else "answers"
        healthy = sum(each["health"] == "healthy" for each in chain["endpoints"])
        age, head = chain["head_age_seconds"], chain["head"]
        seen = "no block yet" if age is None or head is None else f"block {head['number']}, {age:.0f} s old"
        lines.append(
            f"  {part}  {chain['name']} ({chain['chain_id']}): {seen}; "
            f"{healthy} of {len(chain['endpoints'])} endpoints healthy, {chain['agreement']} must agree"
        )
    for row in status["detections"]:
        at = "" if row["block_number"] is None else f", block {row['block_number']}"
        standing = row["standing"].replace("_", " ")
        lines.append(f"  looks    {row['policy']} on chain {row['chain_id']}: {standing}{at}")
    epoch, peers, alerts = status["epoch"], status["peers"], status["alerts"]
    if epoch is not None:
        lines.append(
            f"  epoch    {epoch['epoch']}, {epoch['operators']} operators; "
            f"{epoch['online_bps'] / 100:.1f} % of the stake is heard (a pause needs more than 66.7 %)"
        )
    lines.append(
        f"  peers    {len(peers['connected'])} connected, {len(peers['banned'])} banned, "
        f"{peers['registered']} registered"
    )
    lines.append(
        f"  alerts   {alerts['raised']} raised and {alerts['signed']} signed here; {alerts['counted']} "
        f"signatures counted, {alerts['open']} being answered, {alerts['effects']} effects"
    )
    for problem in status["problems"]:
        lines += [
            f"  {problem['severity']:<8} {problem['code']}  {problem['title']}: {problem['detail']}",
            f"           {problem['remedy']}",
        ]
    if not status["problems"]:
        lines.append("  nothing is wrong")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
