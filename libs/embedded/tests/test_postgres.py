"""The copy of the programs for a user who cannot reach the originals."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from libs.embedded import EmbeddedError, postgres


def site() -> Path:
    spec = importlib.util.find_spec(postgres.PACKAGE)
    assert spec
    assert spec.origin
    return Path(spec.origin).parents[1]


def test_copied_programs_work_for_everybody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "SYSTEM_FOLDER", folder)
    postgres.copy_programs(site(), folder / "copy")
    initdb = folder / "copy" / postgres.PROGRAMS / "initdb"
    assert postgres.is_reachable(initdb)
    user = postgres.runs_as(folder / "absent")
    target = folder / "cluster"
    target.mkdir(mode=0o700)
    if user is not None:
        os.chown(target, *user)
    postgres.run([str(initdb), "-D", str(target), "--auth=reject", "--no-sync"], user)
    assert (target / "PG_VERSION").exists()


def test_a_failing_program_shows_its_output(folder: Path) -> None:
    initdb = str(site() / postgres.PROGRAMS / "initdb")
    with pytest.raises(EmbeddedError, match=r"(?s)initdb failed:.*unrecognized option"):
        postgres.run([initdb, "--nonsense"], None)


def test_a_folder_is_reachable_if_all_above_it_let_everybody_pass(folder: Path) -> None:
    folder.chmod(0o711)
    assert postgres.is_reachable(folder / "data")
    folder.chmod(0o700)
    assert not postgres.is_reachable(folder / "data")
    assert subprocess.run(["test", "-x", folder], check=False).returncode == 0
