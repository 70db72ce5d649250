"""recon: which bank transaction pays which invoice.

Owns bank accounts, statements, transactions, matches, reconciliation runs, the pairs that a person
has refused, and its own copy of open invoices. Calls nobody. Follows invoice: InvoiceApproved,
InvoiceReopened, InvoiceRejected, InvoiceUpdated, InvoicePaid. Publishes StatementImported,
MatchProposed, MatchConfirmed, MatchRejected and MatchUndone.
Statements are read and matched in child processes, by the engines `statements` and `matching`.
Whoever changes matches locks matches, then transactions, then invoices, each by id.
"""
