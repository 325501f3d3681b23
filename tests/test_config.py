"""One file in, one Config out. Each refusal names the place and says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from consensus.errors import Reason, Refused
from node.chain.types import RouteKind
from node.config import MAX_CONFIG_BYTES, LogFormat, load_config

REGISTRY = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
SECRET = "k3y-in-a-path"

_TEXT = """
policies = ["policies/pool.yaml"]
{top}
[keys]
bls_keystore = "bls.json"
transaction_keystore = "transaction.json"
p2p_keystore = "p2p.json"
password_file = "password"

[network]
home_chain = 31337
registry = "{registry}"
{network}
{chains}
"""

CHAIN = """
[[chains]]
id = 31337
name = "home"
agreement = {agreement}
{extra}
[[chains.endpoints]]
name = "first"
{first}
[[chains.endpoints]]
name = "{second}"
http = "http://localhost:2"
"""


def make_chain(
    *,
    agreement: object = 2,
    extra: str = "",
    first: str = 'http = "http://localhost:1"',
    second: str = "second",
) -> str:
    return CHAIN.format(agreement=agreement, extra=extra, first=first, second=second)


def write(
    folder: Path, *, top: str = "", registry: str = REGISTRY, network: str = "", chains: str | None = None
) -> Path:
    path = folder / "config.toml"
    chains = make_chain() if chains is None else chains
    path.write_text(_TEXT.format(top=top, registry=registry, network=network, chains=chains))
    return path


def refusal(path: Path) -> str:
    """The message with which the file is refused."""
    with pytest.raises(Refused) as caught:
        load_config(path)
    assert caught.value.reason is Reason.BAD_CONFIG
    assert path.name in caught.value.message
    return caught.value.message


def test_paths_are_relative_to_the_files_own_folder(tmp_path: Path) -> None:
    config = load_config(write(tmp_path))

    assert config.keys.bls_keystore == tmp_path / "bls.json"
    assert config.keys.password_file == tmp_path / "password"
    assert config.policies == (tmp_path / "policies" / "pool.yaml",)
    assert config.data_directory == tmp_path / "data"


def test_what_is_left_out_has_a_default_that_is_safe(tmp_path: Path) -> None:
    chain = make_chain().replace("agreement = 2\n", "")

    config = load_config(write(tmp_path, chains=chain))

    assert config.chains[0].agreement == 2, "one endpoint alone is never believed unless it is said"
    assert config.log_format is LogFormat.CONSOLE
    assert config.network.activation_delay_seconds == 0
    assert config.gossip.peers == ()


def write_private(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def test_an_endpoint_with_a_credential_stands_in_a_file_of_its_own_and_is_never_shown(tmp_path: Path) -> None:
    write_private(tmp_path / "first.url", f"https://rpc.example/{SECRET}\n".encode())
    write_private(tmp_path / "first-ws.url", f"wss://rpc.example/{SECRET}\n".encode())
    chain = make_chain(first='http_file = "first.url"\nws_file = "first-ws.url"')

    config = load_config(write(tmp_path, chains=chain))

    assert config.chains[0].endpoints[0].http == f"https://rpc.example/{SECRET}"
    assert config.chains[0].endpoints[0].ws == f"wss://rpc.example/{SECRET}"
    assert SECRET not in repr(config)
    assert "first" in repr(config)


def test_an_address_that_others_may_read_is_refused(tmp_path: Path) -> None:
    write_private(tmp_path / "first.url", f"https://rpc.example/{SECRET}".encode())
    (tmp_path / "first.url").chmod(0o644)

    with pytest.raises(Refused, match="mode 0644, expected 0600") as caught:
        load_config(write(tmp_path, chains=make_chain(first='http_file = "first.url"')))

    assert caught.value.reason is Reason.FILE_EXPOSED
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("", "either first.http or first.http_file"),
        ('http = "http://x"\nhttp_file = "first.url"', "either first.http or first.http_file"),
        ('http = "http://x"\nws = "ws://x"\nws_file = "x"', "either first.ws or first.ws_file"),
        ('http_file = "nowhere.url"', "first.http_file, which cannot be read (No such file"),
        ('http_file = "binary.url"', "first.http_file, which is no text"),
        ('http_file = "empty.url"', "first.http must begin with http:// or https://"),
        (f'http = "ftp://{SECRET}"', "first.http must begin with http:// or https://"),
        (f'http = "http://x"\nws = "http://{SECRET}"', "first.ws must begin with ws:// or wss://"),
    ],
    ids=["none", "both", "both ws", "no file", "binary", "empty", "scheme", "scheme ws"],
)
def test_an_endpoints_address_has_one_place_and_a_scheme(tmp_path: Path, first: str, said: str) -> None:
    write_private(tmp_path / "first.url", b"http://localhost:1")
    write_private(tmp_path / "empty.url", b"\n")
    write_private(tmp_path / "binary.url", b"\xff\xfe\x00")

    message = refusal(write(tmp_path, chains=make_chain(first=first)))

    assert said in message
    assert SECRET not in message, "what cannot be used may still be a secret"


@pytest.mark.parametrize(
    ("agreement", "said"),
    [(3, "wants 3 agreeing endpoints on chain 31337 but names 2"), (0, "wants 0 agreeing endpoints")],
)
def test_agreement_lies_between_one_and_the_number_of_endpoints(
    tmp_path: Path, agreement: int, said: str
) -> None:
    message = refusal(write(tmp_path, chains=make_chain(agreement=agreement)))

    assert said in message
    assert "add endpoints of independent providers, or lower `agreement`" in message


def test_two_endpoints_with_one_name_could_not_be_told_apart(tmp_path: Path) -> None:
    assert "one name: ['first', 'first']" in refusal(write(tmp_path, chains=make_chain(second="first")))


def test_a_fee_cap_of_nothing_would_never_send(tmp_path: Path) -> None:
    assert "max_fee_gwei 0 on chain 31337" in refusal(
        write(tmp_path, chains=make_chain(extra="max_fee_gwei = 0"))
    )


@pytest.mark.parametrize("confirmations", [-1, 1_025])
def test_confirmations_are_bounded(tmp_path: Path, confirmations: int) -> None:
    chains = make_chain(extra=f"confirmations = {confirmations}")

    assert f"confirmations {confirmations} on chain 31337" in refusal(write(tmp_path, chains=chains))


@pytest.mark.parametrize("blocks", [-1, 26])
def test_blocks_until_the_public_pool_are_bounded(tmp_path: Path, blocks: int) -> None:
    chains = make_chain(extra=f"public_after_blocks = {blocks}")

    assert f"public_after_blocks {blocks} on chain 31337" in refusal(write(tmp_path, chains=chains))


def test_ways_past_the_public_pool_are_read_and_their_addresses_not_shown(tmp_path: Path) -> None:
    (tmp_path / "builder.http").write_text("https://builder.example.org/a-secret\n")
    (tmp_path / "builder.http").chmod(0o600)
    way = '[[chains.submit]]\nkind = "{}"\nname = "builder"\nhttp_file = "builder.http"\n'
    chains = make_chain() + way.format("bundle")

    (route,) = load_config(write(tmp_path, chains=chains)).chains[0].submit

    assert route.kind is RouteKind.BUNDLE
    assert route.endpoint.http == "https://builder.example.org/a-secret"
    assert "a-secret" not in repr(route)
    assert "builder" in repr(route)
    assert "Invalid enum value" in refusal(
        write(tmp_path, chains=make_chain() + way.format("carrier pigeon"))
    )


def test_a_verifier_is_a_checksummed_address(tmp_path: Path) -> None:
    chains = make_chain(extra='verifiers = ["0x5fbdb2315678afecb367f032d93f642f64180aa3"]')

    assert "chains.verifiers takes checksummed addresses" in refusal(write(tmp_path, chains=chains))


def test_a_capture_cannot_be_less_than_there(tmp_path: Path) -> None:
    path = write(tmp_path, network="capture_confirmations = -1")

    assert "negative network.capture_confirmations" in refusal(path)


def test_the_home_chain_is_one_of_the_chains(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, chains=make_chain().replace("id = 31337", "id = 10")))

    assert "network.home_chain 31337" in message
    assert "[10]" in message
    assert "add a [[chains]] table" in message


def test_a_chain_is_named_once(tmp_path: Path) -> None:
    assert "keep one [[chains]] table" in refusal(write(tmp_path, chains=make_chain() * 2))


@pytest.mark.parametrize("registry", [REGISTRY.lower(), REGISTRY[:-1], ""])
def test_the_registry_is_a_checksummed_address(tmp_path: Path, registry: str) -> None:
    message = refusal(write(tmp_path, registry=registry))

    assert "network.registry must be a checksummed address" in message
    assert repr(registry) in message


def test_a_watcher_without_a_policy_watches_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace('["policies/pool.yaml"]', "[]"))

    assert "names no policy" in refusal(path)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("top", "colour = 1"),
        ("top", "rpc_timeout_seconds = 0"),
        ("top", "rpc_timeout_seconds = -1.5"),
        ("top", "rpc_timeout_seconds = inf"),
        ("network", "activation_delay_seconds = -1"),
        ("network", 'activation_delay_seconds = "soon"'),
        ("top", 'log_format = "xml"'),
    ],
)
def test_an_unknown_key_or_a_value_that_cannot_work_is_named(tmp_path: Path, place: str, text: str) -> None:
    message = refusal(write(tmp_path, **{place: text}))

    assert text.split(" ")[0] in message


@pytest.mark.parametrize("place", ["chains", "keys", "network"])
def test_a_missing_part_is_named(tmp_path: Path, place: str) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace(f"[{place}]", f"[{place}2]"))

    assert place in refusal(path)


def test_a_file_that_is_not_there_says_which_option_names_it(tmp_path: Path) -> None:
    message = refusal(tmp_path / "config.toml")

    assert "No such file" in message
    assert "--config" in message


@pytest.mark.parametrize("content", [b"= 1", b"\xff\xfe", b"policies = [1"], ids=["toml", "bytes", "cut"])
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)

    refusal(path)


def test_a_file_is_measured_before_it_is_parsed(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + "#" * MAX_CONFIG_BYTES)

    assert f"at most {MAX_CONFIG_BYTES}" in refusal(path)
