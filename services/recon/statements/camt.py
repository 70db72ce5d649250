"""CAMT.052, 053 and 054 (001.02 to 001.12), entry by entry in bounded memory."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO

from lxml import etree

from .faults import Malformed
from .ledger import Ledger, statement_header, transaction

CONTAINERS = {"BkToCstmrAcctRpt": "Rpt", "BkToCstmrStmt": "Stmt", "BkToCstmrDbtCdtNtfctn": "Ntfctn"}
VERSION = re.compile(r"camt\.05[234]\.\d{3}\.\d{2}$")
OPENING, CLOSING = ("OPBD", "PRCD", "OPAV"), ("CLBD", "ITBD")
WATCHED = tuple(f"{{*}}{name}" for name in ("Rpt", "Stmt", "Ntfctn", "Bal", "Ntry", "TxDtls"))
NOTHING = frozenset({"NOTPROVIDED", "NOTAVAILABLE", "NONREF"})
MOST_DETAILS = 50_000
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
AMOUNT = re.compile(r"\d{1,18}(\.\d{1,5})?")


def read(file: BinaryIO, sample: bytes, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields header, transactions and totals for each statement in the file."""
    _refuse_doctype(sample)
    try:
        yield from _Reader(options).events(file)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 0
        raise Malformed(line, "XML", f"Not well-formed: {error.msg}.") from None


def _refuse_doctype(sample: bytes) -> None:
    prolog = sample.replace(b"\0", b"")
    if b"<!DOCTYPE" in prolog or b"<!ENTITY" in prolog:
        raise Malformed(0, "XML", "A document type declaration is not allowed.")


def _name(element: Any) -> str:
    return _space_and_name(element)[1]


def _space_and_name(element: Any) -> tuple[str, str]:
    """Not by QName, which refuses what a parser lets pass: a brace in a namespace."""
    space, _, name = str(element.tag).removeprefix("{").rpartition("}")
    return space, name


class _Reader:
    """Follows the parser through one file and frees what it has read."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._space = ""
        self._kind = ""
        self._ledger: Ledger | None = None
        self._header: dict[str, Any] = {}
        self._balances: list[tuple[str, Decimal, str]] = []
        self._details: list[dict[str, Any]] = []
        self._pending = 0

    def events(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        """Reads to the end of the file."""
        parser = etree.iterparse(
            file, events=("start", "end"), tag=WATCHED, resolve_entities=False, no_network=True,
            load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True,
        )  # fmt: skip
        statements = 0
        for event, element in parser:
            if not self._space:
                self._begin_file(element)
            name = _name(element)
            if name in CONTAINERS.values():
                if event == "start":
                    statements += 1
                    self._begin()
                else:
                    yield from self._header_once(element)
                    yield self._totals(element)
                    _free(element)
            elif event == "end":
                yield from self._end(name, element)
        if not statements:
            raise Malformed(0, "XML", "No CAMT.052, 053 or 054 statement is in this file.")

    def _begin_file(self, element: Any) -> None:
        tree = element.getroottree()
        if tree.docinfo.doctype:
            raise Malformed(0, "XML", "A document type declaration is not allowed.")
        namespace, _ = _space_and_name(element)
        if "{" in namespace or "}" in namespace:
            raise Malformed(0, "XML", "This XML is not a CAMT.052, 053 or 054 statement.")
        self._space = f"{{{namespace}}}" if namespace else "{}"
        root = tree.getroot()
        inner = root if _name(root) in CONTAINERS else next(iter(root), root)
        if _name(inner) not in CONTAINERS:
            # A message may lie in an envelope, e.g. a business application header.
            inner = next(
                (e for e in root.iter() if isinstance(e.tag, str) and _name(e) in CONTAINERS), None
            )
        if inner is None:
            raise Malformed(0, "XML", "This XML is not a CAMT.052, 053 or 054 statement.")
        version = VERSION.search(namespace)
        guess = {"Rpt": "camt.052", "Stmt": "camt.053", "Ntfctn": "camt.054"}
        self._kind = version.group() if version else guess[CONTAINERS[_name(inner)]]

    def _begin(self) -> None:
        self._header, self._balances, self._details, self._pending = {}, [], [], 0
        self._ledger = None

    def _end(self, name: str, element: Any) -> Iterator[dict[str, Any]]:
        if name == "Bal":
            self._balances.append(self._balance(element))
        elif name == "TxDtls":
            if len(self._details) >= MOST_DETAILS:
                raise Malformed(
                    element.sourceline, "TxDtls", f"More than {MOST_DETAILS} in one entry."
                )
            self._details.append(self._detail(element))
            _free(element)
        elif name == "Ntry":
            yield from self._header_once(element.getparent())
            assert self._ledger is not None
            entry = self._entry(element)
            self._details = []
            _free(element)
            if entry:
                yield self._ledger.add(entry)

    def _text(self, element: Any, *paths: str) -> str:
        """The text of the first path that has any."""
        for path in paths:
            found = element.find(self._path(path))
            if found is not None and found.text and found.text.strip():
                return str(found.text.strip())
        return ""

    def _path(self, path: str) -> str:
        return "/".join(f"{self._space}{step}" for step in path.split("/"))

    def _header_once(self, statement: Any) -> Iterator[dict[str, Any]]:
        """Before the first entry everything of the header has been read."""
        if self._header:
            return
        account = self._text(statement, "Acct/Id/IBAN", "Acct/Id/Othr/Id")
        iban = self._text(statement, "Acct/Id/IBAN")
        opening, closing = self._stated(OPENING), self._stated(CLOSING[:1]) or self._last_interim()
        currency = self._text(statement, "Acct/Ccy") or (opening or closing or ("", 0, ""))[2]
        self._header = statement_header(
            self._kind,
            statement_id=self._text(statement, "Id"),
            sequence_number=self._text(statement, "ElctrncSeqNb", "LglSeqNb"),
            create_time=self._text(statement, "CreDtTm"),
            from_date=self._text(statement, "FrToDt/FrDtTm", "FrToDt/FrDt")[:10],
            to_date=self._text(statement, "FrToDt/ToDtTm", "FrToDt/ToDt")[:10],
            account_iban=iban or self._options.get("account_iban") or "",
            account_number="" if iban else account,
            account_name=self._text(statement, "Acct/Ownr/Nm", "Acct/Ownr/Pty/Nm", "Acct/Nm"),
            bank_bic=self._text(
                statement, "Acct/Svcr/FinInstnId/BICFI", "Acct/Svcr/FinInstnId/BIC"
            ),
            currency_code=currency or self._options.get("currency_code") or "",
            opening_balance=str(opening[1]) if opening else None,
            closing_balance=str(closing[1]) if closing else None,
            explanation=[f"The file is {self._kind} by its namespace."],
        )
        self._ledger = Ledger(self._header["account_iban"] or account)
        yield self._header

    def _stated(self, kinds: tuple[str, ...]) -> tuple[str, Decimal, str] | None:
        for kind in kinds:
            for balance in self._balances:
                if balance[0] == kind:
                    return balance
        return None

    def _last_interim(self) -> tuple[str, Decimal, str] | None:
        interim = [balance for balance in self._balances if balance[0] == "ITBD"]
        return interim[-1] if len(interim) > 1 or (self._stated(OPENING) and interim) else None

    def _balance(self, element: Any) -> tuple[str, Decimal, str]:
        kind = self._text(element, "Tp/CdOrPrtry/Cd", "Tp/CdOrPrtry/Prtry")
        amount, currency = self._amount(element, "Bal")
        return kind, amount, currency

    def _amount(self, element: Any, field: str) -> tuple[Decimal, str]:
        """The signed amount of an element with Amt and CdtDbtInd."""
        found = element.find(self._path("Amt"))
        line = element.sourceline or 0
        if found is None or not found.text:
            raise Malformed(line, f"{field}/Amt", "The amount is missing.")
        value, line = found.text.strip(), found.sourceline or line
        if not AMOUNT.fullmatch(value):
            raise Malformed(line, f"{field}/Amt", f"{value[:40]!r} is not an amount.")
        side = self._text(element, "CdtDbtInd")
        if side not in {"CRDT", "DBIT"}:
            raise Malformed(line, f"{field}/CdtDbtInd", f"{side[:40]!r} is not CRDT or DBIT.")
        amount = Decimal(value)
        return (amount if side == "CRDT" else -amount), found.get("Ccy") or ""

    def _date(self, element: Any, field: str) -> str:
        found = self._text(element, f"{field}/Dt", f"{field}/DtTm")[:10]
        if not found:
            return ""
        line = element.sourceline or 0
        if not DATE.fullmatch(found):
            raise Malformed(line, f"Ntry/{field}", f"{found!r} is not a date.")
        try:
            return date.fromisoformat(found).isoformat()
        except ValueError:
            raise Malformed(line, f"Ntry/{field}", f"{found!r} is not a date.") from None

    def _entry(self, element: Any) -> dict[str, Any] | None:
        """One booked line; None for a pending one, which is counted only."""
        assert self._ledger is not None
        line = element.sourceline or 0
        amount, currency = self._amount(element, "Ntry")
        if self._text(element, "Sts/Cd", "Sts") not in {"BOOK", ""}:
            self._pending += 1
            return None
        booking, value = self._date(element, "BookgDt"), self._date(element, "ValDt")
        if not booking and not value:
            raise Malformed(line, "Ntry/BookgDt", "Neither a booking nor a value date is given.")
        details = self._details
        first: dict[str, Any] = details[0] if len(details) == 1 else {}
        extra = self._text(element, "AddtlNtryInf")
        entry = transaction(
            line=line,
            account_iban=self._header["account_iban"] or self._header["account_number"],
            booking_date=booking or value,
            value_date=value or booking,
            amount=str(amount),
            currency_code=currency or self._header["currency_code"],
            counterparty_name=first.get("counterparty_name", ""),
            counterparty_iban=first.get("counterparty_iban", ""),
            remittance_text=first.get("remittance_text") or extra,
            end_to_end_id=first.get("end_to_end_id", ""),
            bank_reference=self._text(element, "AcctSvcrRef") or first.get("bank_reference", ""),
            type=self._type(element) or first.get("type", ""),
            type_text=extra,
            is_reversal=self._text(element, "RvslInd") == "true",
            original_amount=first.get("original_amount"),
            original_currency_code=first.get("original_currency_code", ""),
            exchange_rate=first.get("exchange_rate"),
            charges=first.get("charges") or self._charges(element),
            details=[_signed(each, amount) for each in details] if len(details) > 1 else [],
        )
        self._check_details(entry, line)
        return entry

    def _check_details(self, entry: dict[str, Any], line: int) -> None:
        given = [each["amount"] for each in entry["details"]]
        if given and all(given) and sum(map(Decimal, given)) != Decimal(entry["amount"]):
            assert self._ledger is not None
            self._ledger.warn(
                "DETAILS_DIFFER",
                f"{len(given)} details of {sum(map(Decimal, given))} do not add up to "
                f"the entry's {entry['amount']}.",
                line,
            )

    def _type(self, element: Any) -> str:
        domain = [
            self._text(element, f"BkTxCd/Domn/{path}")
            for path in ("Cd", "Fmly/Cd", "Fmly/SubFmlyCd")
        ]
        return "-".join(domain) if all(domain) else self._text(element, "BkTxCd/Prtry/Cd")

    def _charges(self, element: Any) -> str | None:
        return self._text(element, "Chrgs/TtlChrgsAndTaxAmt", "Chrgs/Rcrd/Amt", "Chrgs/Amt") or None

    def _detail(self, element: Any) -> dict[str, Any]:
        """One payment of an entry; its side is the entry's where it has none."""
        entry = element.getparent().getparent()
        side = self._text(element, "CdtDbtInd") or self._text(entry, "CdtDbtInd")
        other = "Dbtr" if side == "CRDT" else "Cdtr"
        parties = [
            f"RltdPties/{who}{path}"
            for who in (other, f"Ultmt{other}")
            for path in ("/Pty/Nm", "/Nm")
        ]
        account = f"RltdPties/{other}Acct/Id"
        amount = self._text(element, "Amt", "AmtDtls/TxAmt/Amt")
        instructed = element.find(self._path("AmtDtls/InstdAmt/Amt"))
        original = instructed is not None and instructed.get("Ccy") != self._header_currency(entry)
        return {
            "amount": amount,
            "side": side,
            "counterparty_name": self._text(element, *parties),
            "counterparty_iban": self._text(element, f"{account}/IBAN", f"{account}/Othr/Id"),
            "remittance_text": self._remittance(element),
            "end_to_end_id": self._reference(element, "EndToEndId"),
            "mandate_id": self._reference(element, "MndtId"),
            "bank_reference": self._reference(element, "AcctSvcrRef")
            or self._reference(element, "TxId"),
            "type": self._type(element),
            "original_amount": instructed.text if original else None,
            "original_currency_code": instructed.get("Ccy") if original else "",
            "exchange_rate": self._text(
                element, "AmtDtls/InstdAmt/CcyXchg/XchgRate", "AmtDtls/TxAmt/CcyXchg/XchgRate",
                "AmtDtls/CntrValAmt/CcyXchg/XchgRate",
            ) or None,
            "charges": self._charges(element),
        }  # fmt: skip

    def _header_currency(self, entry: Any) -> str:
        found = entry.find(self._path("Amt"))
        return "" if found is None else found.get("Ccy") or ""

    def _reference(self, element: Any, name: str) -> str:
        found = self._text(element, f"Refs/{name}")
        return "" if found.upper() in NOTHING else found

    def _remittance(self, element: Any) -> str:
        texts = [e.text for e in element.findall(self._path("RmtInf/Ustrd")) if e.text]
        for path in (
            "RmtInf/Strd/CdtrRefInf/Ref",
            "RmtInf/Strd/RfrdDocInf/Nb",
            "RmtInf/Strd/AddtlRmtInf",
        ):
            texts += [e.text for e in element.findall(self._path(path)) if e.text]
        joined = " ".join(text.strip() for text in dict.fromkeys(texts))
        return joined or self._text(element, "AddtlTxInf")

    def _totals(self, element: Any) -> dict[str, Any]:
        assert self._ledger is not None
        if self._pending:
            self._ledger.warn(
                "PENDING", f"{self._pending} lines that are not booked were left out."
            )
        stated = self._text(element, "TxsSummry/TtlNtries/NbOfNtries")
        if stated.isdigit() and int(stated) != self._ledger.count + self._pending:
            self._ledger.warn(
                "COUNT_DIFFERENCE",
                f"The file says {stated} lines; in it are {self._ledger.count + self._pending}.",
            )
        opening, closing = self._header["opening_balance"], self._header["closing_balance"]
        return self._ledger.totals(
            None if opening is None else Decimal(opening),
            None if closing is None else Decimal(closing),
        )


def _signed(detail: dict[str, Any], entry: Decimal) -> dict[str, Any]:
    """A detail with its amount signed as the entry's."""
    side = detail.pop("side")
    try:
        amount = Decimal(detail["amount"]) if detail["amount"] else None
    except InvalidOperation:
        amount = None
    if amount is not None:
        negative = side == "DBIT" if side else entry < 0
        detail["amount"] = str(-amount if negative else amount)
    return detail


def _free(element: Any) -> None:
    """Forgets an element that has been read, and those before it."""
    parent = element.getparent()
    element.clear()
    if parent is not None and _name(element) in {"Ntry", "TxDtls"}:
        while (before := element.getprevious()) is not None and _name(before) == _name(element):
            parent.remove(before)
