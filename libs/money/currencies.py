"""The currencies of ISO 4217 and how many digits each has after the point."""

_CODES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL "
    "GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR "
    "LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD "
    "PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC "
    "SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR "
    "ZMW ZWG "
    "ANG BGN CUC HRK SLL ZWL",  # gone since 2020, but still on documents that must be kept
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_EXPONENTS = {code: digits for digits, codes in _CODES.items() for code in codes.split()}


class UnknownCurrency(ValueError):  # noqa: N818  # says what is wrong, as reasons do
    """The code is none of ISO 4217's currencies."""


def exponent(currency_code: str) -> int:
    """Return the digits after the point: 2 for "EUR", 0 for "JPY". Raises UnknownCurrency."""
    try:
        return _EXPONENTS[currency_code]
    except KeyError:
        raise UnknownCurrency(f"{currency_code[:20]!r} is no ISO 4217 currency code.") from None
