"""By what an invoice is found, and by what two are the same."""

import re
import unicodedata
from dataclasses import dataclass

from auditron.invoice.v1 import invoice_pb2
from auditron.invoice.v1.invoice_pb2 import Invoice, Party

WORDS_MAX = 2_000
QUERY_WORDS_MAX = 20
WORD_LENGTH_MAX = 60

# What stands behind a firm's name and is often left out.
_LEGAL_FORM = re.compile(
    "ab|ag|as|bv|bvba|co|corp|eg|eirl|ek|eurl|ev|gbr|gmbh|inc|kft|kg|kgaa|limited|llc|llp|ltd|mbh"
    "|nv|ohg|oy|plc|sa|sarl|sas|sasu|se|sl|slu|sp|spa|srl|sro|ug|zoo"
)
_VAT_ID = re.compile("[a-z]{2}[a-z0-9]{6,13}")


@dataclass(frozen=True)
class Keys:
    """What an invoice has in common with its duplicates; None where it cannot be told."""

    name_key: str | None
    tax_key: str | None

    def __bool__(self) -> bool:
        return bool(self.name_key or self.tax_key)


def counterparty(invoice: Invoice) -> Party:
    """Return who sends the bill, or to whom we send it."""
    if invoice.direction == invoice_pb2.DIRECTION_RECEIVABLE:
        return invoice.customer
    return invoice.supplier


def keys(invoice: Invoice) -> Keys:
    """Return the counterparty, by its name and by its tax id, each with the number.

    Of several tax ids one counts, the same in whatever order they stand: the VAT id, if any.
    """
    number = _bare(invoice.invoice_number)
    if not number:
        return Keys(None, None)
    credit = invoice.document_type == invoice_pb2.DOCUMENT_TYPE_CREDIT_NOTE
    kind = f"{invoice.direction}{'C' if credit else 'I'}"
    party = counterparty(invoice)
    name = "".join(_firm(party.display_name))
    tax_ids = (_bare(each) for each in party.tax_ids)
    tax_id = max(tax_ids, key=lambda each: (bool(_VAT_ID.fullmatch(each)), each), default="")
    return Keys(
        name_key=f"{kind}/{number}/{name}" if name else None,
        tax_key=f"{kind}/{number}/{tax_id}" if tax_id else None,
    )


def search_words(invoice: Invoice) -> list[str]:
    """Return the words by which an invoice is found, each once."""
    texts = [
        invoice.invoice_number, _bare(invoice.invoice_number),
        invoice.order_reference, _bare(invoice.order_reference),
    ]  # fmt: skip
    for party in (invoice.supplier, invoice.customer):
        texts += [party.display_name, party.address, _bare(party.iban)]
        texts += [_bare(each) for each in party.tax_ids]
    texts += [line.description for line in invoice.lines]
    words = dict.fromkeys(word for each in texts for word in _words(each))
    return list(words)[:WORDS_MAX]


def query_words(query: str) -> list[str]:
    """Return the words of a query, each once."""
    return list(dict.fromkeys(_words(query)))[:QUERY_WORDS_MAX]


def _words(given: str) -> list[str]:
    return [word[:WORD_LENGTH_MAX] for word in re.findall(r"[^\W_]+", _folded(given))]


def _bare(given: str) -> str:
    return "".join(_words(given))


def _firm(name: str) -> list[str]:
    """Return a name's words without the legal form at its end."""
    words = _words(name.replace(".", ""))
    while len(words) > 1 and _LEGAL_FORM.fullmatch(words[-1]):
        words.pop()
    return words


def _folded(given: str) -> str:
    """Return a text without case and accents: "Müller" and "MULLER" are the same."""
    decomposed = unicodedata.normalize("NFKD", given.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))
