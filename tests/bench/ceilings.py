"""What the contracts may cost, and what they do: whole transactions on a local chain, each against its ceiling.

    python -m tests.bench.ceilings

One JSON line a case, `{"case", "operators", "absent", "gas", "at_most", "holds"}`; ends with 1 where a case
is above its ceiling. Gas is the receipt's: base, calldata and execution. A pause is the first of a fresh
guardian on a fresh target and is read back from the target; a second delivery sends the same bytes again.
Handovers overwrite what an earlier one wrote. Needs the package data (`make contracts`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

import trio

from consensus.alert import FLOORS, Level, compute_network_id
from consensus.bls import Purpose, SecretKey, sign
from consensus.certificate import build_certificate, encode_certificate
from consensus.ecdsa import EcdsaSecretKey, EcdsaSet, Vote, build_ecdsa_certificate, sign_vote
from consensus.fields import address_from_bytes
from consensus.handover import Handover, build_handover_certificate
from consensus.operators import Operator, OperatorSet
from consensus.paging import encode_paged_certificate, place_keys
from consensus.types import Address, Epoch, OperatorIndex, Seconds, Weight
from node.chain.contracts import Guardian
from node.chain.reader import ChainReader
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import SUCCESSION, THRESHOLDS_BPS, deploy_trust
from node.devnet.staking import NetworkTerms, deploy_staking
from tests.bench.gas import CHAIN, NETWORK, make_alert, make_guardian, make_operator_set, make_secrets
from tests.bench.paged import certify, gas_of, measure_paged_case
