"""What banks write above the columns of their tables, in the languages that they write in."""

# A role, then its titles without accents and signs, the likeliest first.
TITLES = """
booking_date:
  booking date | buchungstag | buchungsdatum | buchung | date comptable | date operation |
  date de comptabilisation | boekdatum | boekingsdatum | fecha operacion | fecha contable |
  fecha | data contabile | data operazione | data | data ksiegowania | data operacji |
  transaction date | posting date | posted date | post date | date | datum | bokforingsdag |
  bokforingsdatum | bogforingsdato | dato | kirjauspaiva | completed date | date completed utc |
  datum zauctovani | datum provedeni | tarih | дата операції | дата | transaktionsdatum |
  entry date | finished on | created on | belegdatum | started date | data transakcji |
  transactiedatum | datum transakce | data movimento | data mov
value_date:
  value date | valuta | valutadatum | wertstellung | wertstellungsdatum | date de valeur |
  date valeur | rentedatum | fecha valor | data valuta | data waluty | valor | rentedag |
  valutadag | arvopaiva | interest date | data valor | valutadato
amount:
  amount | betrag | umsatz | montant | bedrag | importe | importo | kwota | belop | beloeb |
  maara | castka | tutar | сума | сумма | betrag eur | amount eur | transaction amount |
  buchungsbetrag | kwota operacji | valor | montante | objem | osszeg | suma | transactiebedrag
  | net | netto | amount account currency | сума операції
debit:
  debit | soll | belastung | lastschrift | paid out | money out | withdrawal | withdrawals |
  withdrawal amt | debet | uscite | addebiti | addebito | dare | cargo | debe | obciazenia |
  debit amount | ausgang | ausgaben | auszahlung | payments | egreso | debito | sortie | ut |
  витрати
credit:
  credit | haben | gutschrift | paid in | money in | deposit | deposits | deposit amt | kredit |
  entrate | accrediti | accredito | avere | abono | haber | uznania | credit amount | eingang |
  einnahmen | einzahlung | receipts | ingreso | credito | entree | in | надходження
side:
  debit credit | credit debit | dc | cd | s h | soll haben | af bij | cdtdbtind | cr dr | dr cr
  | credit debit indicator | debit credit indicator | sens | direction | soll haben kennzeichen
  | debet credit | d c | c d | sh | debitcredit
currency:
  currency | wahrung | waehrung | devise | valuta | munt | divisa | moneda | waluta | valuutta |
  mena | muntsoort | ccy | monnaie | currency code | валюта | valutakod | para birimi
counterparty_name:
  counterparty | counterparty name | name | beguenstigter zahlungspflichtiger |
  begunstigter zahlungspflichtiger | payee | auftraggeber empfanger | auftraggeber beguenstigter
  | auftraggeber begunstigter | name zahlungsbeteiligter | empfanger auftraggeber | partner name
  | tegenpartij | naam tegenpartij | naam tegenrekening | tiers | nom du tiers | contrepartie |
  nom contrepartie | beneficiario | ordenante beneficiario | controparte | kontrahent |
  nadawca odbiorca | dane kontrahenta | nazwa kontrahenta | merchant | payee name | beneficiary
  | nazev protiuctu | saaja maksaja | saajan nimi | mottaker | motpart | modtager |
  transaction partner | empfaenger | empfanger | auftraggeber | naam | name of counterparty |
  контрагент | target name | partnername | tegenpartij naam | counter party | description naam |
  counterparty account name | naam van de tegenpartij | naam omschrijving
payer_name:
  zahlungspflichtige r | zahlungspflichtiger | payer | debtor | debtor name | remitter |
  ordenante | ordinante | source name | nadawca | nazwa nadawcy | donneur d ordre | payer name
payee_name:
  zahlungsempfanger in | zahlungsempfangerin | zahlungsempfanger | creditor | creditor name |
  odbiorca | nazwa odbiorcy | beneficiaire | beneficiary name | recipient
counterparty_iban:
  counterparty iban | iban | kontonummer iban | iban zahlungsbeteiligter | counterparty account
  | tegenrekening | iban tegenpartij | tegenrekening iban bban | rekening tegenpartij |
  compte contrepartie | rachunek kontrahenta | numer rachunku kontrahenta | partner iban |
  iban auftraggeberkonto empfanger | protiucet | cislo protiuctu | konto iban |
  account number counterparty | beneficiary account | saajan tilinumero | iban des auftraggebers
  | konto kontrahenta | kontonummer | conto controparte | counterparty account number |
  rekening van tegenpartij | tegenrekening iban
account:
  auftragskonto | account | account iban | own account | konto | rekening | compte | cuenta |
  conto | iban auftragskonto | rachunek | iban bban | account number | rekeningnummer |
  numero de compte | bezeichnung auftragskonto | eigenes konto | kontonummer auftragskonto |
  moj rachunek | booking account
remittance_text:
  remittance | remittance information | verwendungszweck | vwz | buchungstext verwendungszweck |
  purpose | description | details | narrative | memo | reference text | libelle |
  libelle operation | communication | communicatie | mededeling | mededelingen | omschrijving |
  omschrijving 1 | omschrijving 2 | omschrijving 3 | concepto | concepto ampliado | descripcion
  | descrizione | causale | descrizione operazione | tytul | tytulem | opis | opis operacji |
  tytul operacji | payment details | transaction details | transaction description |
  payment reference | zprava pro prijemce | viesti | melding | tekst | text | meddelande |
  reference | particulars | aciklama | призначення платежу | note | notes | betreff |
  zahlungsreferenz | buchungsdetails | omschrijving transactie | beschrijving |
  informations complementaires | libelle complementaire | additional information | notifications
  | kommentar | observaciones | original description | detail | vrije mededeling |
  gestructureerde mededeling
end_to_end_id:
  end to end id | end to end reference | end to end | endtoendid | kundenreferenz end to end |
  e2e | kundenreferenz | customer reference | end to end referenz
bank_reference:
  bank reference | transaction id | transaktions id | bankreferenz | referenz | numero operation
  | id | reference number | transactiereferentie | volgnr | referencia | cro |
  numer referencyjny | id transakcji | arkistointitunnus | transactie id | unique id | fitid |
  archive id | bank transaction id | id operacji | id pohybu | journalnummer | transferwise id
type:
  type | transaction type | buchungstext | umsatzart | vorgang | type d operation | mutatiesoort
  | code | typ | typ operacji | rodzaj operacji | umsatztyp | buchungsart | tipo |
  transactietype | soort | laji | payment type | transaktionstyp
balance:
  balance | saldo | solde | kontostand | saldo po operacji | balance after | running balance |
  balance eur | saldo nach buchung | saldo na trn | saldo na mutatie | disponible |
  saldo disponible | closing balance | залишок | bakiye | saldo po transakcji | saldo contabile
  | guthaben
original_amount:
  amount foreign currency | foreign amount | original amount | originalbetrag |
  betrag fremdwahrung | fremdwahrungsbetrag | ursprungsbetrag | lastschrift ursprungsbetrag |
  montant devise | importo in divisa | kwota oryginalna | amount in foreign currency |
  orig amount | source amount
original_currency:
  type foreign currency | foreign currency | original currency | fremdwahrung | orig currency |
  devise d origine | source currency | currency foreign | originalwahrung
exchange_rate:
  exchange rate | wechselkurs | kurs | umrechnungskurs | taux de change | wisselkoers |
  kurs wymiany
fee:
  fee | fees | gebuhr | frais | commissione | prowizja | kosten | charge
status:
  status | state | statut | stato | estado | umsatzstatus
"""


def roles() -> dict[str, tuple[str, ...]]:
    """Role → its titles."""
    found: dict[str, tuple[str, ...]] = {}
    role = ""
    for line in TITLES.strip().splitlines():
        if line.endswith(":"):
            role = line[:-1]
            found[role] = ()
        else:
            phrases = (phrase.strip() for phrase in line.split("|"))
            found[role] += tuple(phrase for phrase in phrases if phrase)
    return found
