"""The claim of a pid file, and what it does with processes that an earlier run has left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from libs.embedded import EmbeddedError, server
from libs.embedded.server import claim

IGNORING = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)"


def left_over(pid_file: Path, program: str) -> subprocess.Popen[bytes]:
    """Starts a process that holds the pid file's lock after its parent has let it go."""
    with claim(pid_file, signal.SIGTERM) as file:
        command = [sys.executable, "-c", f"{program}; time.sleep(60)"]
        process = subprocess.Popen(command, pass_fds=[file.fileno()], stdout=subprocess.PIPE)
        file.write(str(process.pid))
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    return process


def test_a_process_left_by_an_earlier_run_is_asked_to_end(tmp_path: Path) -> None:
    process = left_over(tmp_path / "pid", "import time; print(flush=True)")
    claim(tmp_path / "pid", signal.SIGTERM).close()
    assert process.wait() == -signal.SIGTERM


def test_a_process_that_does_not_listen_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_TIMEOUT_S", 0.2)
    process = left_over(tmp_path / "pid", IGNORING)
    claim(tmp_path / "pid", signal.SIGTERM).close()
    assert process.wait() == -signal.SIGKILL


def test_a_lock_that_nobody_lets_go_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STOP_TIMEOUT_S", 0.1)
    with claim(tmp_path / "pid", signal.SIGTERM), pytest.raises(EmbeddedError, match="not end"):
        claim(tmp_path / "pid", signal.SIGTERM)


def test_the_pid_of_an_unlocked_file_is_left_alone(tmp_path: Path) -> None:
    innocent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (tmp_path / "pid").write_text(str(innocent.pid))
    with claim(tmp_path / "pid", signal.SIGTERM) as file:
        assert file.read() == ""
    time.sleep(0.05)
    assert innocent.poll() is None
    innocent.kill()
    innocent.wait()


def test_a_launched_program_ends_at_once_if_its_parent_is_gone() -> None:
    launch = [sys.executable, "-I", "-S", str(server.LAUNCH)]
    stranger = "1" if os.getpid() != 1 else "2"
    result = subprocess.run(
        [*launch, stranger, "15", "-", "-", "/bin/echo", "started"],
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, b"")
