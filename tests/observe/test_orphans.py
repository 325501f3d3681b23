"""Which blocks a chain has left, by what was followed of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.chain.types import BlockRef
from node.observe.orphans import MAX_REMEMBERED, Orphans
from tests.consensus.factories import make_bytes32


def block(number: int, branch: str = "a", parent: str | None = None) -> BlockRef:
    """Block `number` of a branch; `parent` names the branch of the block before it, where that is another."""
    return BlockRef(
        chain_id=ChainId(1),
        number=BlockNumber(number),
        hash=BlockHash(make_bytes32(f"{branch}{number}")),
        parent_hash=BlockHash(make_bytes32(f"{parent or branch}{number - 1}")),
        timestamp=Seconds(number),
    )


def followed(*refs: BlockRef) -> Orphans:
    orphans = Orphans()
    for ref in refs:
        orphans.follow(ref)
    return orphans


def has_left(orphans: Orphans, ref: BlockRef) -> bool:
    return orphans.has_left(ref.number, ref.hash)


def test_a_chain_that_only_grows_leaves_nothing() -> None:
    orphans = followed(block(1), block(2), block(3))

    assert not any(has_left(orphans, block(number)) for number in (1, 2, 3))
    assert not has_left(orphans, block(4)), "what was not followed is not known to be gone"


def test_a_reorg_leaves_everything_from_the_fork_on() -> None:
    orphans = followed(block(1), block(2), block(3))

    left = orphans.follow(block(2, "b", parent="a"))

    assert left == (block(2), block(3))
    assert [has_left(orphans, block(number)) for number in (1, 2, 3)] == [False, True, True]
    assert not has_left(orphans, block(2, "b"))


def test_a_block_that_comes_back_is_not_orphaned_any_more() -> None:
    orphans = followed(block(1), block(2), block(2, "b", parent="a"), block(2))

    assert not has_left(orphans, block(2))
    assert has_left(orphans, block(2, "b"))


def test_a_block_that_contradicts_the_followed_branch_was_left_before_it_was_seen() -> None:
    assert has_left(followed(block(1), block(2)), block(2, "never seen"))


def test_after_a_jump_nothing_is_said_of_heights_that_were_not_followed_again() -> None:
    orphans = followed(block(1), block(2), block(3), block(3, "b"))

    assert has_left(orphans, block(2)), "the parent of what is followed now is another block"
    assert not has_left(orphans, block(1, "b")), "of height 1 nothing is known any more"


@given(st.lists(st.tuples(st.integers(1, 2_000), st.sampled_from("abc")), max_size=60))
def test_whatever_is_followed_the_newest_block_stands_and_memory_is_bounded(
    seen: list[tuple[int, str]],
) -> None:
    orphans = Orphans()
    for number, branch in seen:
        for ahead in range(40):
            orphans.follow(block(number + ahead, branch))
            assert not has_left(orphans, block(number + ahead, branch))

    assert len(orphans) <= MAX_REMEMBERED
