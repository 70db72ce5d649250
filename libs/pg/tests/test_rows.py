import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import google.api
import pytest
from auditron.type.v1.money_pb2 import Money
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from grpc_tools import protoc

from libs.pg import Database, rows, uuid7

ROOT = Path(__file__).parents[3]
TABLE = """
create table {table} (
  organization_id uuid, sample_id uuid, name text, note text, rate numeric, state int,
  version bigint, paid bool, confidence double precision, hash bytea, create_time timestamptz,
  issue_date date, wait interval, total numeric, total_currency_code text, tax numeric,
  tax_currency_code text, place bytea, tags text[], party_ids uuid[], states int[], places bytea[],
  due_dates date[], rank int
);
select protect('{table}');
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The classes of sample.proto, by name."""
    out = tmp_path_factory.mktemp("protos") / "sample.binpb"
    includes = [Path(__file__).parent, ROOT / "protos", Path(google.api.__path__[0]).parents[1]]
    well_known = Path(protoc.__file__).parent / "_proto"
    command = ["protoc", *(f"-I{path}" for path in (*includes, well_known))]
    assert protoc.main([*command, f"--descriptor_set_out={out}", "sample.proto"]) == 0
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())

    class Types:
        Sample, Priced, Place = (
            GetMessageClass(pool.FindMessageTypeByName(f"auditron.sample.v1.{name}"))
            for name in ("Sample", "Priced", "Place")
        )

    return Types


@pytest.fixture(scope="module")
async def table(admin_url: str, db: Database) -> str:
    con = await asyncpg.connect(admin_url)
    await con.execute("set role trial_owner; set search_path = trial")
    await con.execute(TABLE.format(table="samples"))
    await con.close()
    return "samples"


def full(sample: Any) -> Any:
    return sample.Sample(
        sample_id=uuid7(),
        name="Müller & Söhne",
        note="",
        rate="0.000000001900",
        state=1,
        version=2**40,
        paid=True,
        confidence=0.25,
        hash=b"\0\xff",
        create_time=Timestamp(seconds=-1, nanos=999_999_000),
        issue_date=Date(year=2026, month=2, day=28),
        wait=Duration(seconds=90, nanos=500_000_000),
        total=Money(amount="-1234567890123456789.120", currency_code="EUR"),
        tax=Money(amount="0.00", currency_code="JPY"),
        place=sample.Place(page=3),
        tags=["a", "b"],
        party_ids=[uuid7(), uuid7()],
        states=[1, 0],
        places=[sample.Place(page=1), sample.Place()],
        due_dates=[Date(year=2026, month=3, day=1)],
        rank=0,
    )


async def stored(db: Database, message: Message, *columns: str) -> Any:
    organization_id = uuid7()
    numbers = ", ".join(f"${i + 2}" for i in range(len(columns)))
    async with db.tenant(organization_id) as tx:
        await tx.execute(
            f"insert into samples (organization_id, {', '.join(columns)}) values ($1, {numbers})",
            organization_id,
            *rows.values(message, *columns),
        )
    (row,) = await db.read(organization_id, "select * from samples")
    return row


def columns_of(sample: Any, *others: str) -> tuple[str, ...]:
    return rows.columns_of(sample.Sample, "labels", *others)


async def test_a_full_message_comes_back_from_its_row_unchanged(
    db: Database, table: str, sample: Any
) -> None:
    message = full(sample)
    row = await stored(db, message, *columns_of(sample))
    assert rows.to_message(row, sample.Sample) == message


async def test_an_empty_message_comes_back_with_its_fields_unset(
    db: Database, table: str, sample: Any
) -> None:
    row = await stored(db, sample.Sample(), *columns_of(sample, "rate"))
    back = rows.to_message(row, sample.Sample)
    assert back == sample.Sample()
    assert not back.HasField("total")
    assert not back.HasField("note")
    assert row["sample_id"] is None


def test_the_columns_of_a_message_are_its_fields_and_the_currencies_of_its_amounts(
    sample: Any,
) -> None:
    assert rows.columns_of(sample.Priced, "currency_code", "tax") == (
        "total", "total_currency_code",
    )  # fmt: skip
    assert rows.columns_of(sample.Priced, one_currency=True) == ("currency_code", "total", "tax")
    assert columns_of(sample)[:3] == ("sample_id", "name", "note")


def test_a_unset_optional_field_is_null_and_a_set_empty_one_is_not(sample: Any) -> None:
    assert rows.values(sample.Sample(), "note", "rank") == [None, None]
    assert rows.values(sample.Sample(note="", rank=0), "note", "rank") == ["", 0]


def test_columns_without_a_field_are_passed_over(sample: Any) -> None:
    row = {"organization_id": uuid.uuid4(), "name": "a", "total_count": 3}
    assert rows.to_message(row, sample.Sample) == sample.Sample(name="a")


@pytest.mark.parametrize(
    ("amount", "text"),
    [("1E+3", "1000"), ("1.50E-7", "0.000000150"), ("12.30", "12.30"), ("-0.01", "-0.01")],
)
def test_amounts_are_written_without_exponent(sample: Any, amount: str, text: str) -> None:
    row = {"total": Decimal(amount), "currency_code": "EUR", "rate": Decimal(amount)}
    message = rows.to_message(row, sample.Sample)
    assert (message.total.amount, message.rate) == (text, text)


@pytest.mark.parametrize("amount", ["NaN", "Infinity"])
def test_what_is_no_number_in_the_database_is_refused(sample: Any, amount: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        rows.to_message({"total": Decimal(amount), "currency_code": "EUR"}, sample.Sample)


@pytest.mark.parametrize("amount", ["", "1e3", "NaN", "1_000", " 1", "1.", ".5", "+1", "٣", "1\n"])
def test_what_is_no_plain_amount_in_the_message_is_refused(sample: Any, amount: str) -> None:
    message = sample.Sample(total=Money(amount=amount, currency_code="EUR"))
    with pytest.raises(ValueError, match="is not an amount"):
        rows.values(message, "total", "total_currency_code")


def test_the_rows_single_currency_serves_all_amounts(sample: Any) -> None:
    row = {"total": Decimal(3), "tax": Decimal(1), "currency_code": "EUR"}
    message = rows.to_message(row, sample.Priced)
    assert message == sample.Priced(
        currency_code="EUR",
        total=Money(amount="3", currency_code="EUR"),
        tax=Money(amount="1", currency_code="EUR"),
    )
    assert rows.values(message, *row) == list(row.values())


def test_a_message_without_currency_field_gives_that_of_its_amounts(sample: Any) -> None:
    message = sample.Sample(total=Money(amount="3", currency_code="EUR"))
    assert rows.values(message, "total", "tax", "currency_code") == [Decimal(3), None, "EUR"]


def test_amounts_of_two_currencies_do_not_fit_into_one_column(sample: Any) -> None:
    euro, yen = Money(amount="3", currency_code="EUR"), Money(amount="3", currency_code="JPY")
    with pytest.raises(ValueError, match="several currencies"):
        rows.values(sample.Sample(total=euro, tax=yen), "total", "tax")
    with pytest.raises(ValueError, match="several currencies"):
        rows.values(sample.Priced(total=yen, currency_code="EUR"), "total", "currency_code")
    assert rows.values(sample.Sample(total=euro, tax=yen), "tax", "tax_currency_code") == [3, "JPY"]


def test_mistakes_of_the_programmer_are_told(sample: Any) -> None:
    with pytest.raises(AssertionError, match="no field for column nme"):
        rows.values(sample.Sample(), "nme")
    with pytest.raises(AssertionError, match="has no currency"):
        rows.to_message({"total": Decimal(1)}, sample.Sample)
    with pytest.raises(AssertionError, match="is a map"):
        rows.to_message({"labels": "{}"}, sample.Sample)


def test_times_and_dates_are_exact_at_the_ends_of_their_ranges(sample: Any) -> None:
    row = {
        "create_time": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        "issue_date": date(1, 1, 1),
        "wait": timedelta(days=-1, microseconds=1),
    }
    assert rows.values(rows.to_message(row, sample.Sample), *row) == list(row.values())
