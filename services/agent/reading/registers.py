"""Numbers that registers give to companies, other than VAT ids: do their check digits hold."""

from collections.abc import Callable

from stdnum.cz import dic
from stdnum.dk import cvr
from stdnum.fi import ytunnus
from stdnum.hu import anum
from stdnum.no import orgnr as no_orgnr
from stdnum.ro import cui
from stdnum.se import orgnr as se_orgnr


def _hungarian(value: str) -> bool:
    """Check the first part of "12345678-2-41"; the others are of the tax office."""
    return anum.is_valid(value[:8])


CHECKS: dict[str, Callable[[str], bool]] = {
    "sv": se_orgnr.is_valid,
    "da": cvr.is_valid,
    "nb": no_orgnr.is_valid,
    "fi": ytunnus.is_valid,
    "cs": dic.is_valid,
    "hu": _hungarian,
    "ro": cui.is_valid,
}


def registered(value: str, language: str) -> bool:
    """Return whether this is a company's number in the country of a document's language."""
    check = CHECKS.get(language)
    return check is not None and check(value)
