"""A signer behind a socket: who is let in, what it signs, and what a slow, dead or lying other side costs."""

from __future__ import annotations

import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from consensus.bls import Purpose, verify
from consensus.errors import Broken, Reason, Refused, Unavailable
from consensus.handover import compute_handover
from consensus.partial import PartialCertificate, compute_signers
from consensus.types import BlockNumber, HeaderHash, OperatorIndex
from node.attest.channel import MAX_MESSAGE_BYTES, SealedStream, shake_hands
from node.attest.journal import Journal, create_journal, open_journal
from node.attest.messages import Hello, decode_answer, decode_request, encode
from node.attest.pairing import Pairing, Role, create_pair, read_pair
from node.attest.remote import RemoteSigner
from node.attest.service import MAX_CONNECTIONS, SignerService, listening
from node.attest.signer import Signer
from node.cli import cli
from tests.consensus.factories import (
    NETWORK_ID,
    make_alert,
    make_attestation,
    make_bytes32,
    make_operator_set,
    make_public_key,
    make_secret,
    make_slot,
    make_successor,
)

INDEX = OperatorIndex(0)
SINCE = BlockNumber(4_000)


@dataclass(slots=True)
class Bench:
    """A signer that serves, and what is needed to reach it."""

    path: Path
    watcher: Pairing
    service: SignerService
    journal: Journal

    def remote(self) -> RemoteSigner:
        return RemoteSigner(self.path, self.watcher)


def make_pairings(folder: Path) -> tuple[Pairing, Pairing]:
    """The watcher's and the signer's; made where there are none."""
    if not folder.exists():
        folder.mkdir()
        create_pair(folder)
    return read_pair(folder / "watcher.pair", Role.WATCHER), read_pair(folder / "signer.pair", Role.SIGNER)


@asynccontextmanager
async def serving(folder: Path, *, key: int = 0, paired: Pairing | None = None) -> AsyncIterator[Bench]:
    """A signer with this key in the folder, by its own pair of files or with `paired` as its side."""
    watcher, signer = make_pairings(folder / "pair")
    journal = folder / "j.db"
    opened = (
        open_journal(journal, make_public_key(key))
        if journal.exists()
        else create_journal(journal, make_public_key(key))
    )
    async with opened as held, listening(folder / "s") as listener, trio.open_nursery() as nursery:
        service = SignerService(Signer(make_secret(key), held), held, paired or signer)
        nursery.start_soon(service.run, listener)
        yield Bench(folder / "s", watcher, service, held)
        nursery.cancel_scope.cancel()


async def attest(remote: RemoteSigner, **changes: Any) -> object:
    return await remote.attest(make_alert(**changes), INDEX, since=SINCE)


# --- what it signs


async def test_a_signature_over_the_socket_is_the_one_made_in_process(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        remote = bench.remote()

        assert await attest(remote) == await attest(remote) == make_attestation()
        assert remote.statistics().connected == 1, "one connection for all requests"
        assert bench.service.statistics().signed == 2
        assert bench.journal.statistics().rows == 1


async def test_the_journals_rules_hold_over_the_socket_and_the_connection_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        remote = bench.remote()
        await attest(remote)

        with pytest.raises(Refused, match="a second signature would be slashed") as refusal:
            await attest(remote, actions=())

        assert refusal.value.reason is Reason.SLOT_ALREADY_SIGNED
        await attest(remote, slot=make_slot(anchor_number=4_201))
        assert remote.statistics().connected == 1


async def test_the_watermark_of_an_armed_journal_holds_over_the_socket(tmp_path: Path) -> None:
    async with serving(tmp_path):
        pass
    (tmp_path / "j.db.mark").unlink()
    with capture_logs() as logs:
        async with serving(tmp_path) as bench:
            with pytest.raises(Refused) as refusal:
                await attest(bench.remote(), slot=make_slot(anchor_number=SINCE))
            await attest(bench.remote(), slot=make_slot(anchor_number=SINCE + 1))

    assert refusal.value.reason is Reason.BELOW_WATERMARK
    assert "journal.armed" in [line["event"] for line in logs]


async def test_a_handover_is_signed_once_an_epoch(tmp_path: Path) -> None:
    outgoing = make_operator_set()
    handover = compute_handover(NETWORK_ID, outgoing, make_successor(outgoing))
    async with serving(tmp_path) as bench:
        signature = await bench.remote().hand_over(handover)

        assert verify(make_public_key(0), Purpose.HANDOVER, handover.digest(), signature)
        with pytest.raises(Refused) as refusal:
            await bench.remote().hand_over(replace(handover, next_set_hash=HeaderHash(make_bytes32("other"))))
    assert refusal.value.reason is Reason.HANDOVER_ALREADY_SIGNED


@pytest.mark.parametrize("is_merged", [False, True])
async def test_a_signature_from_elsewhere_is_said_over_the_socket(tmp_path: Path, is_merged: bool) -> None:
    heard = make_attestation()
    merged = PartialCertificate(alert=heard.alert, signers=compute_signers([0, 1]), signature=heard.signature)
    async with serving(tmp_path) as bench:
        with pytest.raises(Refused) as refusal:
            await bench.remote().witness(merged if is_merged else heard)
        await bench.remote().witness(heard)  # known now
        await bench.remote().witness(make_attestation(make_alert(slot=make_slot(anchor_number=9)), 1))

    assert refusal.value.reason is Reason.SIGNED_ELSEWHERE


async def test_without_space_the_signer_says_so_and_nothing_is_final(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        remote = bench.remote()
        connection = bench.journal._store._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

        async def sign_many() -> None:
            for number in range(200):
                await attest(remote, slot=make_slot(anchor_number=number))

        with pytest.raises(Unavailable, match="no space is left"):
            await sign_many()

        connection.execute("PRAGMA max_page_count=100000")

        await attest(remote, slot=make_slot(anchor_number=500))


# --- who is let in


async def test_a_watcher_of_another_pair_is_refused_and_nothing_is_signed(tmp_path: Path) -> None:
    stranger, _ = make_pairings(tmp_path / "other")
    async with serving(tmp_path) as bench:
        with pytest.raises(Unavailable):
            await attest(RemoteSigner(bench.path, stranger))

        assert bench.service.statistics().refused == {Reason.PEER_UNPROVEN: 1}
        assert bench.journal.statistics().rows == 0


async def test_a_signer_of_another_pair_is_not_believed(tmp_path: Path) -> None:
    watcher, signer = make_pairings(tmp_path / "mine")
    impostor = replace(make_pairings(tmp_path / "other")[1], peer=signer.peer)  # it knows the watcher's key
    async with serving(tmp_path, paired=impostor) as bench:
        remote = RemoteSigner(bench.path, watcher)

        with pytest.raises((Refused, Unavailable)):
            await remote.greet()
        with pytest.raises(Unavailable):
            await attest(remote)

        assert bench.journal.statistics().rows == 0


async def test_a_signer_that_answers_with_another_key_is_not_believed(tmp_path: Path) -> None:
    """Even the paired side: what it returns is checked before it leaves this process."""
    async with serving(tmp_path) as bench:
        remote = bench.remote()
        await remote.greet()
        remote._public_key = make_public_key(1)

        with pytest.raises(Broken, match="not its key's"):
            await attest(remote)


async def test_a_signer_whose_key_changed_is_refused_until_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        remote = bench.remote()
        await attest(remote)
        await remote.aclose()
        remote._public_key = make_public_key(1)

        with pytest.raises(Unavailable, match="had another key before"):
            await attest(remote)


async def say(path: Path, raw: bytes) -> bytes:
    """What a stranger hears who sends these bytes and nothing more."""
    async with await trio.open_unix_socket(str(path)) as stream:
        await stream.send_all(raw)
        await stream.send_eof()
        heard = b""
        while more := await stream.receive_some():
            heard += more
        return heard


@given(st.binary(max_size=80))
def test_whatever_a_stranger_says_it_hears_nothing(raw: bytes) -> None:
    async def scenario() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(raw)
        await theirs.send_eof()
        with pytest.raises((Refused, Unavailable)):
            await shake_hands(ours, Pairing(role=Role.SIGNER, private=b"\1" * 32, peer=b"\2" * 32))
        await ours.send_eof()
        assert await theirs.receive_some() == b""

    trio.run(scenario)


async def test_a_frame_that_announces_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        await say(bench.path, (MAX_MESSAGE_BYTES + 17).to_bytes(2, "big"))

        assert bench.service.statistics().refused == {Reason.OVERSIZED: 1}


async def sealed(bench: Bench) -> SealedStream:
    return await shake_hands(await trio.open_unix_socket(str(bench.path)), bench.watcher)


@pytest.mark.parametrize(
    "message", [b"", b"\xc0", b"\x91\x09", b"\x92\x00\x01", b"\x94\x01\xc4\x00\x00\x00" * 2]
)
async def test_a_paired_watcher_that_talks_nonsense_loses_its_connection(
    tmp_path: Path, message: bytes
) -> None:
    async with serving(tmp_path) as bench:
        stream = await sealed(bench)
        await stream.send(message)

        with pytest.raises(Unavailable):
            await stream.receive()

        assert bench.service.statistics().refused == {Reason.MALFORMED: 1}
        await attest(bench.remote())  # others are served


async def test_a_replayed_or_altered_message_ends_the_connection() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    one, other = b"\1" * 32, b"\2" * 32
    public = {key: make_x25519_public(key) for key in (one, other)}
    watcher = Pairing(role=Role.WATCHER, private=one, peer=public[other])
    signer = Pairing(role=Role.SIGNER, private=other, peer=public[one])
    streams: dict[Role, SealedStream] = {}

    async def shake(stream: trio.abc.Stream, pairing: Pairing) -> None:
        streams[pairing.role] = await shake_hands(stream, pairing)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake, ours, watcher)
        nursery.start_soon(shake, theirs, signer)
    frame = bytes(streams[Role.WATCHER]._noise.encrypt(b"sign this"))
    await ours.send_all(len(frame).to_bytes(2, "big") + frame)
    assert await streams[Role.SIGNER].receive() == b"sign this"

    await ours.send_all(len(frame).to_bytes(2, "big") + frame)

    with pytest.raises(Refused) as refusal:
        await streams[Role.SIGNER].receive()
    assert refusal.value.reason is Reason.PEER_UNPROVEN


def make_x25519_public(private: bytes) -> bytes:
    from noise.backends.default.keypairs import KeyPair25519

    return bytes(KeyPair25519.from_private_bytes(private).public_bytes)


# --- slow, silent, dead


async def test_silent_strangers_do_not_hold_up_the_watcher_and_are_cut_off(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.05  # real sockets and threads are at work
    async with serving(tmp_path) as bench:
        strangers = [await trio.open_unix_socket(str(bench.path)) for _ in range(MAX_CONNECTIONS - 1)]
        for each in strangers:
            await each.send_all(b"\0")  # a frame that is begun and never goes on

        await attest(bench.remote())

        for each in strangers:
            assert await each.receive_some() == b""
        assert bench.service.statistics().connections == MAX_CONNECTIONS


async def test_more_connections_than_are_served_are_closed_and_counted(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        strangers = [await trio.open_unix_socket(str(bench.path)) for _ in range(MAX_CONNECTIONS + 1)]

        assert await strangers[-1].receive_some() == b""

        assert bench.service.statistics().refused == {Reason.TOO_MANY_STREAMS: 1}
        assert bench.service.statistics().open == MAX_CONNECTIONS


async def test_a_signer_that_does_not_answer_is_given_up_and_asked_on_a_new_connection(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.05
    async with serving(tmp_path) as bench:
        remote = bench.remote()
        honest, deaf = bench.service._answer, trio.Event()

        async def never(message: bytes) -> Any:
            if decode_request(message) != Hello():
                await deaf.wait()
            return await honest(message)

        bench.service._answer = never  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="no answer within"):
            await attest(remote)
        bench.service._answer = honest  # type: ignore[method-assign]

        assert await attest(remote) == make_attestation()
        assert remote.statistics().connected == 2


async def test_a_request_that_is_cancelled_leaves_no_answer_for_the_next(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        remote = bench.remote()
        honest, is_asked, may_answer = bench.service._answer, trio.Event(), trio.Event()

        async def slowly(message: bytes) -> Any:
            if decode_request(message) != Hello():
                is_asked.set()
                await may_answer.wait()
            return await honest(message)

        bench.service._answer = slowly  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attest, remote)
            await is_asked.wait()
            nursery.cancel_scope.cancel()
        may_answer.set()

        other = make_alert(slot=make_slot(anchor_number=4_300))
        assert (await remote.attest(other, INDEX, since=SINCE)).alert == other
        assert remote.statistics().connected == 2


async def test_a_watcher_without_a_signer_says_so_and_finds_it_later(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        remote = bench.remote()
    with pytest.raises(Unavailable, match="nobody listens there"):
        await attest(remote)
    with pytest.raises(Unavailable, match="not reached yet"):
        _ = remote.public_key

    async with serving(tmp_path) as bench:
        assert await attest(remote) == make_attestation()
        assert remote.public_key == make_public_key(0)


async def test_a_lost_connection_is_made_again_without_an_alert(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.05
    async with serving(tmp_path) as bench, trio.open_nursery() as nursery:
        remote = bench.remote()
        nursery.start_soon(remote.stay_connected)
        await trio.sleep(10)
        assert remote.statistics().connected == 1

        await remote.aclose()
        await trio.sleep(10)

        assert remote.statistics().connected == 2
        nursery.cancel_scope.cancel()


# --- the socket


async def test_the_socket_is_for_owner_and_group_and_goes_away(tmp_path: Path) -> None:
    async with listening(tmp_path / "s"):
        mode = (tmp_path / "s").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660

    assert not (tmp_path / "s").exists()


async def test_a_socket_that_a_killed_signer_left_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "s"))
    left.close()

    async with listening(tmp_path / "s"):
        assert await trio.Path(tmp_path / "s").exists()


async def test_what_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")

    with pytest.raises(Refused) as refusal:
        async with listening(tmp_path / "s"):
            pass

    assert refusal.value.reason is Reason.STORE_EXISTS
    assert (tmp_path / "s").read_text() == "precious"


async def test_a_socket_whose_path_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="below 100 characters"):
        async with listening(tmp_path / ("s" * 200)):
            pass


# --- the pair's files


def test_the_two_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    made = CliRunner().invoke(cli, ["signer", "pair", "--directory", str(tmp_path)])
    again = CliRunner().invoke(cli, ["signer", "pair", "--directory", str(tmp_path)])

    assert made.exit_code == 0
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}
    assert again.exit_code == 2
    assert "store_exists" in again.output


def test_a_pairing_never_shows_its_key(tmp_path: Path) -> None:
    watcher, _ = make_pairings(tmp_path / "p")

    assert watcher.private.hex() not in repr(watcher)


def refusal_of_pair(path: Path, role: Role) -> Refused:
    with pytest.raises(Refused) as refusal:
        read_pair(path, role)
    return refusal.value


def test_a_file_of_the_other_side_is_refused(tmp_path: Path) -> None:
    create_pair(tmp_path)

    assert "belongs to the signer" in refusal_of_pair(tmp_path / "signer.pair", Role.WATCHER).message


def test_an_exposed_file_is_refused(tmp_path: Path) -> None:
    create_pair(tmp_path)
    (tmp_path / "signer.pair").chmod(0o640)

    assert refusal_of_pair(tmp_path / "signer.pair", Role.SIGNER).reason is Reason.FILE_EXPOSED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"role":"signer","private":"zz","peer":""}',
        b'{"role":"signer","private":"aa","peer":"bb"}',
    ],
)
def test_a_file_that_is_no_pairing_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signer.pair"
    path.write_bytes(content)
    path.chmod(0o600)

    refusal = refusal_of_pair(path, Role.SIGNER)

    assert refusal.reason is Reason.PAIRING_INVALID
    assert "zz" not in refusal.message


@given(st.binary(max_size=200))
def test_every_byte_string_is_a_message_or_is_refused(raw: bytes) -> None:
    for decode in (decode_request, decode_answer):
        try:
            message = decode(raw)
        except Refused:
            continue
        assert decode(encode(message)) == message
