"""Which of several overlapping aggregates to add up: those that share no signer and weigh most together.

Choosing them is weighted set packing, hard in general and small here: the levels of a network hand over
aggregates of different operators, and a tally keeps few. The search is exact until it has looked at MAX_STEPS
choices; beyond that its answer is at least that of taking the heaviest first. A function of what is held
alone, in whatever order that came.
"""

from collections.abc import Callable, Sequence

from consensus.types import Signers

MAX_STEPS = 4_096


def choose_disjoint(candidates: Sequence[Signers], weigh: Callable[[Signers], int]) -> tuple[Signers, ...]:
    """The disjoint candidates with the greatest sum of weights, ascending.

    Among equals the union with the smallest bitmap wins. A candidate without weight is never chosen.
    """
    weights = {candidate: weight for candidate in candidates if (weight := weigh(candidate)) > 0}
    chosen: list[Signers] = []
    for group in _overlapping_groups(sorted(weights)):
        chosen += _choose_in_group(sorted(group, key=lambda each: (-weights[each], each)), weights)
    return tuple(sorted(chosen))


def _overlapping_groups(candidates: Sequence[Signers]) -> list[list[Signers]]:
    """Candidates by connection: what is in different groups shares no signer, so each is searched alone."""
    groups: list[tuple[int, list[Signers]]] = []
    for candidate in candidates:
        union, members = int(candidate), [candidate]
        apart = []
        for other_union, other in groups:
            if other_union & candidate:
                union, members = union | other_union, members + other
            else:
                apart.append((other_union, other))
        groups = [*apart, (union, members)]
    return [members for _, members in groups]


def _choose_in_group(candidates: Sequence[Signers], weights: dict[Signers, int]) -> tuple[Signers, ...]:
    remaining = [0] * (len(candidates) + 1)  # what all from here on weigh, were there no overlap
    for place in range(len(candidates) - 1, -1, -1):
        remaining[place] = remaining[place + 1] + weights[candidates[place]]
    best: tuple[int, int, tuple[Signers, ...]] = (0, 0, ())
    steps = 0
    open_choices: list[tuple[int, int, int, tuple[Signers, ...]]] = [(0, 0, 0, ())]
    while open_choices and steps < MAX_STEPS:
        steps += 1
        place, weight, union, taken = open_choices.pop()
        if (weight, -union) > best[:2]:
            best = (weight, -union, taken)
        if place == len(candidates) or weight + remaining[place] < best[0]:
            continue
        candidate = candidates[place]
        open_choices.append((place + 1, weight, union, taken))
        if not union & candidate:  # on top: the first way down takes the heaviest first
            with_it = (place + 1, weight + weights[candidate], union | candidate, (*taken, candidate))
            open_choices.append(with_it)
    return best[2]
