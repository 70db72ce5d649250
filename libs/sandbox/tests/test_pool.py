"""Hostile functions end, alone and in time, and nothing of them stays."""

import asyncio
import contextlib
import os
import platform
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from libs.sandbox import MIB, Limits, Sandbox, SandboxError, SandboxKilled, frames
from libs.sandbox.confinement import prepare
from libs.sandbox.frames import FAILED, ITEM, RESULT, STARTED
from libs.sandbox.tests.hostile import frame

HERE = "libs.sandbox.tests.hostile"
LIMITS = Limits(memory_bytes=256 * MIB, cpu_s=1, wall_s=20, output_bytes=MIB, file_bytes=MIB)
CONFINED = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}
IN_FORCE = prepare(1, 1, 1, [], tempfile.gettempdir()).in_force()


@pytest.fixture(scope="session")
async def sandbox():
    one = Sandbox(LIMITS)
    await one.start()
    yield one
    await one.close()


@pytest.fixture(scope="session")
async def impatient():
    one = Sandbox(Limits(wall_s=0.5))
    yield one
    await one.close()


@contextlib.asynccontextmanager
async def opened(limits=LIMITS, **options):
    other = Sandbox(limits, **options)
    await other.start()
    try:
        yield other
    finally:
        await other.close()


def children(parent):
    """Return the pids of the living children of a process."""
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def keeper(sandbox, index=0):
    return sandbox._workers[index].keeper.process.pid


def exists(path):
    return Path(path).exists()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # the kernel tells nobody
            await asyncio.sleep(0.01)


async def gone(keeper_pid) -> None:
    """Wait until a keeper has no child any more."""
    await until(lambda: not children(keeper_pid))


async def call_in_progress(sandbox):
    """Return a call that runs in its child, and the child's pid."""
    call = asyncio.create_task(sandbox.run(f"{HERE}:sleep", 60))
    await until(lambda: children(keeper(sandbox)))
    await asyncio.sleep(0.05)
    return call, children(keeper(sandbox))[0]


async def works(sandbox) -> bool:
    return await sandbox.run(f"{HERE}:echo", 1) == [1]


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**70), 1.5, "", "äß€😀\x00\n", b"", b"\x00\xff", [], {},
     [b"1", {"a": b"22"}, b""], {"deep": [[{"b": b"x" * 1000}], "t"]}, "\\ud800", [[["$part"]]]],
)  # fmt: skip
async def test_values_and_bytes_go_there_and_back(sandbox, value) -> None:
    assert await sandbox.run(f"{HERE}:echo", value, "second") == [value, "second"]


def test_no_part_of_a_call_is_empty() -> None:
    header, text, *parts = frames.encode(frames.FORK, [b"", b"1", {"a": b""}])
    assert parts == [b"1"]
    whole = frames.decode(bytearray(text), bytearray(b"".join(parts)))
    assert whole == [b"", b"1", {"a": b""}]
    assert header


async def test_a_path_arrives_as_a_file_that_cannot_be_written(sandbox, tmp_path) -> None:
    path = tmp_path / "secret name"
    path.write_bytes(b"%PDF" + bytes(3_000_000))
    path.chmod(0o600)
    assert await sandbox.run(f"{HERE}:read", path) == {
        "size": 3_000_004,
        "begin": b"%PDF",
        "writable": False,
    }


async def test_a_path_that_is_no_readable_file_is_refused_here(sandbox, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, error in (
        (tmp_path / "nothing", FileNotFoundError),
        (tmp_path, ValueError),
        (tmp_path / "pipe", ValueError),
    ):
        with pytest.raises(error):
            await sandbox.run(f"{HERE}:read", path)
    with pytest.raises(TypeError):
        await sandbox.run(f"{HERE}:echo", object())
    with pytest.raises(ValueError, match="16 files"):
        await sandbox.run(f"{HERE}:echo", [Path(__file__)] * 17)
    assert await works(sandbox)


async def test_no_file_stays_open_here(sandbox, tmp_path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    await works(sandbox)
    before = open_files()
    for _ in range(5):
        await sandbox.run(f"{HERE}:read", tmp_path / "f")
        with pytest.raises(SandboxError):
            await sandbox.run(f"{HERE}:raise_error", tmp_path / "f", "too many")
        with pytest.raises(FileNotFoundError):
            await sandbox.run(f"{HERE}:read", tmp_path / "f", tmp_path / "g")
    assert open_files() == before


async def test_an_exception_arrives_as_kind_and_message(sandbox) -> None:
    with pytest.raises(SandboxError) as raised:
        await sandbox.run(f"{HERE}:raise_error", "no such thing é" + "x" * 5_000)
    assert raised.value.kind == "LookupError"
    assert raised.value.message.startswith("no such thing é")
    assert len(raised.value.message) <= 1_000


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (f"{HERE}:nothing", "AttributeError"),
        ("libs.sandbox.nothing:f", "StartFailed"),
        ("", "StartFailed"),
        (f"{HERE}:leave", "SystemExit"),
        (f"{HERE}:raise_error", "TypeError"),
    ],
)
async def test_a_call_that_cannot_be_made_says_so(sandbox, function, kind) -> None:
    with pytest.raises(SandboxError) as raised:
        await sandbox.run(function)
    assert raised.value.kind == kind


@pytest.mark.parametrize("kind", ["object", "nan", "surrogate", "set", "path"])
async def test_a_result_that_cannot_travel_is_an_error(sandbox, kind) -> None:
    with pytest.raises(SandboxError):
        await sandbox.run(f"{HERE}:unfit", kind)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("memory_bomb", "memory"),
        ("abort_without_memory", "memory"),
        ("loop", "cpu"),
        ("loop_deaf", "cpu"),
        ("exit_at_once", "crash"),
        ("segfault", "crash"),
        ("hang_up_and_stay", "crash"),
    ],
)
async def test_a_child_ends_with_its_reason_and_the_next_call_works(
    sandbox, function, reason
) -> None:
    begin = time.monotonic()
    with pytest.raises(SandboxKilled) as killed:
        await sandbox.run(f"{HERE}:{function}")
    assert killed.value.reason == reason
    assert time.monotonic() - begin < 15
    assert await works(sandbox)


async def test_a_child_that_takes_too_long_is_killed(impatient) -> None:
    for function, args in (("sleep", [60]), ("say", [frame(RESULT, b"1" * 10)[:-5]])):
        begin = time.monotonic()
        with pytest.raises(SandboxKilled) as killed:
            await impatient.run(f"{HERE}:{function}", *args)
        assert killed.value.reason == "time"
        assert 0.5 <= time.monotonic() - begin < 10
    await gone(keeper(impatient))
    assert await works(impatient)


async def test_threads_are_allowed(sandbox) -> None:
    assert await sandbox.run(f"{HERE}:use_threads") == 6


async def test_many_calls_leave_one_child_and_share_nothing(sandbox) -> None:
    pid = keeper(sandbox)
    seen = [await sandbox.run(f"{HERE}:remember") for _ in range(200)]
    assert seen == [1] * 200
    await gone(pid)
    assert keeper(sandbox) == pid
    pids = {await sandbox.run(f"{HERE}:process_id") for _ in range(5)}
    assert len(pids) == 5


@pytest.mark.skipif(not CONFINED, reason="Only Linux on x86-64 and arm64 has the filter.")
async def test_a_child_reaches_nothing(sandbox) -> None:
    os.environ["CANARY_PASSWORD"] = "canary"
    got = await sandbox.run(f"{HERE}:reach")
    by_filter = {"socket", "socket6", "unix", "exec", "fork", "kill", "rights"}
    by_landlock = {
        "environment of the keeper", "memory of the keeper", "files of the keeper", "passwords",
        "home", "write", "nested folders",
    }  # fmt: skip
    held = by_filter | (by_landlock if "landlock" in IN_FORCE else set())
    assert {name: got[name] for name in held} == dict.fromkeys(held, "PermissionError")
    assert got["limits"] == "not allowed to raise maximum limit"


async def test_the_environment_holds_no_word_of_ours(sandbox) -> None:
    os.environ["CANARY_PASSWORD"] = "canary"
    names = set(await sandbox.run(f"{HERE}:environment"))
    told = {"TMPDIR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LD_LIBRARY_PATH"}
    assert names <= told | {"LC_CTYPE"}  # the interpreter sets that itself


async def test_files_are_limited_and_do_not_outlive_the_call(sandbox) -> None:
    assert await sandbox.run(f"{HERE}:write_file", 512 * 1024) == 512 * 1024
    with pytest.raises(SandboxError) as raised:
        await sandbox.run(f"{HERE}:write_file", 2 * MIB)
    assert raised.value.kind == "OSError"
    assert await sandbox.run(f"{HERE}:leave_file") == []
    assert await sandbox.run(f"{HERE}:leave_file") == []


async def test_a_huge_answer_is_refused(sandbox) -> None:
    assert len(await sandbox.run(f"{HERE}:much", MIB - 100)) == MIB - 100
    for function in ("much", "much_json"):
        with pytest.raises(SandboxError) as raised:
            await sandbox.run(f"{HERE}:{function}", 10 * MIB)
        assert raised.value.kind == "OutputTooLarge"
    assert await works(sandbox)


GARBAGE = {
    "nothing known": b"x" * 100,
    "html": b"HTTP/1.1 200 OK\r\n\r\n" * 10,
    "zeros": bytes(1_000),
    "an unknown kind": frame(b"Q", b"1"),
    "started again": frame(STARTED, b"null"),
    "an item of no stream": frame(ITEM, b"1"),
    "no JSON": frame(RESULT, b"{"),
    "empty": frame(RESULT, b""),
    "not a number": frame(RESULT, b"[NaN, Infinity]"),
    "infinite": frame(RESULT, b"1e999"),
    "a number of a million digits": frame(RESULT, b"1" * 1_000_000),
    "not UTF-8": frame(RESULT, b'"\xff\xfe"'),
    "UTF-16": frame(RESULT, "[1]".encode("utf-16")),
    "half a surrogate pair": frame(RESULT, b'["\\ud800"]'),
    "half a pair as a key": frame(RESULT, b'{"\\uDFFF": 1}'),
    "half a pair in bytes": frame(RESULT, b'"\xed\xa0\x80"'),
    "deep": frame(RESULT, b"[" * 500_000 + b"]" * 500_000),
    "deep and bytes": frame(RESULT, b'{"a":' * 50_000 + b'{"$part":1}' + b"}" * 50_000, b"x"),
    "a part too long": frame(RESULT, b'{"$part": 100}', b"x"),
    "a negative part": frame(RESULT, b'{"$part": -1}', b"x"),
    "many parts of one byte": frame(RESULT, b"[" + b'{"$part":1},' * 9 + b"1]", b"x"),
    "an error that is none": frame(FAILED, b"[]"),
    "an error without words": frame(FAILED, b'{"kind": "x"}'),
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_garbage_is_a_crash_and_nothing_else(sandbox, kind) -> None:
    with pytest.raises(SandboxKilled) as killed:
        await sandbox.run(f"{HERE}:say", GARBAGE[kind])
    assert killed.value.reason == "crash"
    assert await works(sandbox)


@pytest.mark.parametrize(
    "raw",
    [
        frame(RESULT, b"1", b"", claimed=2**63),
        b"R\xff\xff\xff\xff" + bytes(8),
        frame(FAILED, b'{"kind": [1, {}], "message": null}'),
        frame(FAILED, b'{"kind": "' + b"k" * 900_000 + b'", "message": "' + b"m" * 90_000 + b'"}'),
        frame(RESULT, b'{"$part": true}', b"x"),
        frame(RESULT, b'{"$file": 0}', b"x"),
    ],
)
async def test_nothing_but_our_own_errors_comes_of_an_answer(sandbox, raw) -> None:
    with contextlib.suppress(SandboxKilled, SandboxError):
        await sandbox.run(f"{HERE}:say", raw)
    assert await works(sandbox)


async def test_a_stream_brings_items_one_by_one(sandbox, tmp_path) -> None:
    items = [item async for item in sandbox.stream(f"{HERE}:rows", 1_000)]
    assert [item["index"] for item in items] == list(range(1_000))
    path = tmp_path / "statement.csv"
    path.write_text("".join(f"{index};ü\n" for index in range(10_000)))
    batches = [batch async for batch in sandbox.stream(f"{HERE}:lines", path, 300)]
    assert [len(batch) for batch in batches] == [300] * 33 + [100]
    assert batches[-1][-1] == "9999;ü"


@pytest.mark.parametrize(
    ("end", "error"), [("raise", SandboxError), ("loop", SandboxKilled), ("exit", SandboxKilled)]
)
async def test_a_stream_that_ends_badly_gives_its_items_first(sandbox, end, error) -> None:
    stream = sandbox.stream(f"{HERE}:rows_then", 10, end)
    assert [await anext(stream) for _ in range(10)] == list(range(10))
    with pytest.raises(error):
        await anext(stream)
    assert await works(sandbox)


async def test_a_slow_reader_holds_the_child_back_and_costs_it_no_time() -> None:
    async with opened(Limits(wall_s=2, output_bytes=MIB)) as sandbox:
        stream = sandbox.stream(f"{HERE}:rows", 300, 100_000)
        begin = time.monotonic()
        count = 0
        async with contextlib.aclosing(stream):
            async for item in stream:
                count += 1
                if count < 5:
                    await asyncio.sleep(0.6)
                    assert item["index"] == count - 1
        assert count == 300
        assert time.monotonic() - begin > 2.4


async def test_a_stream_that_is_left_early_kills_its_child(sandbox) -> None:
    stream = sandbox.stream(f"{HERE}:rows", 10**9)
    async with contextlib.aclosing(stream):
        async for _ in stream:
            break
    await gone(keeper(sandbox))
    assert await works(sandbox)


async def test_cancelled_callers_leave_no_child(sandbox) -> None:
    await works(sandbox)
    pid = keeper(sandbox)
    for delay in (0, 0.001, 0.005, 0.02, 0.1):
        task = asyncio.create_task(sandbox.run(f"{HERE}:sleep", 60))
        waiting = asyncio.create_task(sandbox.run(f"{HERE}:sleep", 60))
        await asyncio.sleep(delay)
        for one in (waiting, task):
            one.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
        assert await works(sandbox)
    await gone(keeper(sandbox))
    assert keeper(sandbox) == pid or not exists(f"/proc/{pid}")


async def test_two_workers_run_two_calls_at_once() -> None:
    async with opened(workers=2) as sandbox:
        calls = [sandbox.run(f"{HERE}:sleep", 0.3) for _ in range(4)]
        spans = sorted(await asyncio.gather(*calls))
        assert spans[1][0] < spans[0][1]  # the second begins before the first ends
        assert spans[2][0] > spans[0][1]  # the third does not
        mixed = [
            sandbox.run(f"{HERE}:{name}")
            for name in ("exit_at_once", "remember", "segfault", "loop", "remember", "remember")
        ]
        results = await asyncio.gather(*mixed, return_exceptions=True)
        assert [result for result in results if result == 1] == [1, 1, 1]
        assert sum(isinstance(result, SandboxKilled) for result in results) == 3


async def test_a_killed_child_or_keeper_is_replaced(sandbox) -> None:
    await works(sandbox)
    first = keeper(sandbox)
    call, child = await call_in_progress(sandbox)
    os.kill(child, signal.SIGKILL)
    with pytest.raises(SandboxKilled) as killed:
        await call
    assert killed.value.reason == "crash"  # it used little, so it was not its own doing
    assert await works(sandbox)
    assert keeper(sandbox) == first

    call, child = await call_in_progress(sandbox)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(SandboxKilled):
        await call
    assert await works(sandbox)
    assert keeper(sandbox) != first
    await until(lambda: not exists(f"/proc/{child}"))


async def test_a_keeper_that_dies_between_calls_is_not_noticed(sandbox) -> None:
    await works(sandbox)
    os.kill(keeper(sandbox), signal.SIGKILL)
    assert await works(sandbox)


async def test_closing_ends_callers_and_leaves_nothing_behind() -> None:
    sandbox = Sandbox(LIMITS)
    await sandbox.start()
    pid, folder = keeper(sandbox), sandbox._workers[0].keeper.folder
    calls = [asyncio.create_task(sandbox.run(f"{HERE}:sleep", 60)) for _ in range(3)]
    await asyncio.sleep(0.2)
    await sandbox.close()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [SandboxKilled] * 3
    with pytest.raises(SandboxKilled):
        await sandbox.run(f"{HERE}:echo")
    await sandbox.close()
    assert not exists(f"/proc/{pid}")
    assert not exists(folder)


async def test_a_preload_is_there_before_the_first_call_and_its_failure_is_told_at_the_start() -> (
    None
):
    async with opened(preload=[HERE]) as sandbox:
        assert await works(sandbox)
    sandbox = Sandbox(LIMITS, preload=["libs.sandbox.nothing"])
    with pytest.raises(SandboxError, match="StartFailed: ModuleNotFoundError"):
        await sandbox.start()
    await sandbox.close()


async def test_the_keeper_ends_with_its_parent(tmp_path) -> None:
    program = (
        "import asyncio\n"
        "from libs.sandbox import Sandbox, Limits\n"
        "async def main():\n"
        "    s = Sandbox(Limits()); await s.start()\n"
        "    print(s._workers[0].keeper.process.pid, s._workers[0].keeper.folder, flush=True)\n"
        f"    await s.run('{HERE}:sleep', 60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    pid, folder = (await parent.stdout.readline()).split()
    await until(lambda: children(int(pid)))
    pids = [int(pid), *children(int(pid))]
    parent.kill()
    await parent.wait()
    await until(lambda: not any(exists(f"/proc/{number}") for number in pids))
    assert not exists(folder.decode())
