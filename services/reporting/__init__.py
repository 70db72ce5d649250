"""reporting: the double-entry ledger, and the reports made of it.

Owns accounts, journal entries, exchange rates, posting rejections and reports; keeps copies of
organizations (from auth) and of approved invoices (from invoice). Calls nobody: it posts from the
events of invoice and recon. Publishes JournalEntryPosted, PostingRejected, ReportReady and
ReportFailed.

Entries are numbered without gaps, sum to zero in the base currency, and are never changed: what is
taken back is reversed by another entry of the same day. A fact is posted once, whatever is
replayed. What cannot be posted yet (no rate, invoice not there yet) waits among the posting
rejections and is tried again by what it waits for. Postings on payables and receivables name the
invoice whose balance they change, so that ageing is a view of these accounts.
"""
