"""Time of the cryptography that every attestation costs: sign, verify, and same-message batches.

Run by `make bench`. Milliseconds of one core; compare within one run, since machines differ.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable

from consensus.attestation import decode, encode
from consensus.bls import Purpose, SecretKey, sign, verify, verify_batch, verify_batches
from consensus.types import Digest
from tests.bench.lines import print_line
from tests.consensus.factories import make_attestation

SAMPLES = 100


def measure(work: Callable[[], object]) -> list[float]:
    """Milliseconds of each of `SAMPLES` calls, after one to warm up."""
    work()
    times = []
    for _ in range(SAMPLES):
        start = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - start) / 1e6)
    return times


def main() -> None:
    digest = Digest(hashlib.sha256(b"bench").digest())
    secrets = [
        SecretKey.from_bytes(hashlib.sha256(bytes([1, i])).digest()[:31].rjust(32, b"\0")) for i in range(50)
    ]
    pairs = [(secret.public_key(), sign(secret, Purpose.ALERT, digest)) for secret in secrets]
    key, signature = pairs[0]
    fresh = (
        Digest(hashlib.sha256(n.to_bytes(4, "big")).digest()) for n in itertools.count()
    )  # never hashed before
    print_line("bls_sign", "ms", measure(lambda: sign(secrets[0], Purpose.ALERT, next(fresh))))
    print_line("bls_verify", "ms", measure(lambda: verify(key, Purpose.ALERT, digest, signature)))
    for size in (5, 7, 20, 50):
        batch = pairs[:size]
        print_line(
            "bls_verify_batch",
            "ms",
            measure(lambda b=batch: verify_batch(digest, Purpose.ALERT, b)),
            size=size,
        )
    burst = [  # what four operators say about fifty alerts
        (each, [(secret.public_key(), sign(secret, Purpose.ALERT, each)) for secret in secrets[:4]])
        for each in (Digest(hashlib.sha256(bytes([2, n])).digest()) for n in range(50))
    ]
    print_line(
        "bls_verify_burst", "ms", measure(lambda: verify_batches(Purpose.ALERT, burst)), digests=50, size=200
    )
    print_line(
        "bls_verify_burst_by_digest",
        "ms",
        measure(lambda: [verify_batch(each, Purpose.ALERT, signed) for each, signed in burst]),
        digests=50,
        size=200,
    )
    attestation = make_attestation()
    wire = encode(attestation)
    print_line("attestation_encode", "ms", measure(lambda: encode(attestation)), bytes=len(wire))
    print_line("attestation_decode", "ms", measure(lambda: decode(wire)), bytes=len(wire))


if __name__ == "__main__":
    main()
