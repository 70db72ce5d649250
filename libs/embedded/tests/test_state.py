"""Secrets and ports: made once, kept, private, and never a port that somebody has."""

import json
import socket
from pathlib import Path

from libs.embedded import is_free
from libs.embedded.server import PORTS
from libs.embedded.state import SECRETS, SERVERS, State


def loaded(file: Path) -> State:
    state = State(file)
    state.load()
    return state


def test_secrets_and_ports_are_the_same_in_the_next_run(tmp_path: Path) -> None:
    first, second = loaded(tmp_path / "state"), loaded(tmp_path / "state")
    assert [first.secret(name) for name in SECRETS] == [second.secret(name) for name in SECRETS]
    assert len({first.secret(name) for name in SECRETS}) == len(SECRETS)
    assert [first.port(name) for name in SERVERS] == [second.port(name) for name in SERVERS]
    assert {first.port(name) for name in SERVERS} < set(PORTS)


def test_a_port_that_somebody_has_meanwhile_is_replaced_but_not_within_a_run(
    tmp_path: Path,
) -> None:
    state = loaded(tmp_path / "state")
    port = state.port("redis")
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        state.load()
        assert state.port("redis") == port
        assert loaded(tmp_path / "state").port("redis") != port


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    loaded(tmp_path / "state")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    assert set(json.loads((tmp_path / "state").read_text())) == {*SECRETS, *SERVERS}
