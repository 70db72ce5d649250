"""invoice: documents and the invoices read from them, from upload to payment.

Owns documents (in the object store, their rows here), invoices with lines, warnings and decisions,
the approval policy, the count of documents a month, and copies of the plan's limit and of payments.
Calls nobody; follows the logs of billing and recon. Publishes InvoiceReceived, InvoiceExtracted,
InvoiceUpdated, InvoiceApproved, InvoiceRejected, InvoiceReopened, InvoicePaid.
"""
