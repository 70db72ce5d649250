"""What `make demo` does with files of one's own, and what `make load` sends."""

import re

from examples import demo
from tests.journeys.conftest import EXAMPLES
from tests.load.__main__ import UPLOAD_BYTES, e_invoice

ENTRIES = 60  # more than a page of any list
CAMT = (EXAMPLES / "statement.camt053.xml").read_text()


def statement():
    """The example of another account two years earlier, in which far more happened."""
    [entry] = re.findall(r" *<Ntry>\s*<NtryRef>3<.*?</Ntry>\n", CAMT, re.DOTALL)
    more = "".join(
        entry.replace("<NtryRef>3<", f"<NtryRef>{100 + number}<")
        .replace(">8.90<", f">{number}.11<")
        .replace("HL0003", f"HL{100 + number}")
        for number in range(1, ENTRIES)
    )
    of_another = CAMT.replace("DE02120300000000202051", "DE89370400440532013000")
    return of_another.replace(entry, more + entry).replace(">2026-", ">2024-")


async def test_files_of_ones_own_come_as_far_as_the_reports(platform, sign_up, tmp_path, capsys):
    power = (EXAMPLES / "03-power-ubl.xml").read_text()
    files = {
        "electricity.xml": power.replace(">2026-", ">2024-"),
        "meter.xml": (EXAMPLES / "04-power-ubl.xml").read_text().replace(">2026-", ">2024-"),
        "account.xml": statement(),
        "note.xml": "<note>no invoice</note>",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    out = tmp_path / "out"
    out.mkdir()
    person = await sign_up()
    api = demo.Api(person.http)
    await demo.carry(api, [tmp_path / name for name in files], out)
    assert len(await api.every("/v1/transactions")) == ENTRIES + 7
    [match] = await api.every("/v1/matches")
    assert match["state"] == "MATCH_STATE_CONFIRMED"
    assert "profit-and-loss_2024-01-01_2024-12-31.pdf" in {file.name for file in out.iterdir()}
    assert len(list(out.iterdir())) == 2 * len(demo.REPORTS)
    # What is printed of it has the payment of both invoices already.
    assert "931.22" in capsys.readouterr().out.rpartition("Trial balance")[2]


async def test_what_load_uploads_is_read_by_the_agent(sign_up):
    person, make = await sign_up(), e_invoice()
    first, second = make(), make()
    assert first != second
    assert abs(len(first) - UPLOAD_BYTES) < 10
    answer = await person.call(
        "POST", "/v1/invoices:upload", params={"filename": "load.xml"}, content=first,
        headers={"Content-Type": "application/xml"},
    )  # fmt: skip
    job = await person.until(
        f"/v1/jobs/{answer.json()['job_id']}", lambda job: job["state"] in demo.ENDED
    )
    assert job["state"] == "JOB_STATE_SUCCEEDED", job


def test_no_key_of_the_developers_own_reaches_a_process(platform):
    for child in platform.children.values():
        given = {name: child.command.environment.get(name) for name in demo.NOTHING_FOREIGN}
        assert given == demo.NOTHING_FOREIGN
