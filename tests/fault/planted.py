"""Damage that a checker has to find: each as SQL, with the rule that it breaks."""

# Run by the administrator with triggers off, on the databases of a run that broke no rule.
DAMAGE = {
    "an acknowledged invoice is there": """
        delete from invoice.invoices where invoice_id = (
          select invoice_id from invoice.invoices where document is null limit 1)
    """,
    "an acknowledged decision is noted": "update invoice.invoices set decisions = '{}'",
    "an invoice knows its payments": """
        update invoice.invoices set paid = paid + 1 where invoice_id = (
          select invoice_id from invoice.invoices where state = 6 limit 1)
    """,
    "a document is counted once": "update billing.usage set document_count = document_count + 1",
    "a document is counted": "update invoice.document_counts set document_count = 0",
    "a key's answer is kept": "delete from invoice.requests where method = 'ApproveInvoice'",
    "an entry sums to zero": """
        update reporting.postings set amount = amount + 0.01
        where (organization_id, entry_number, line) = (
          select organization_id, entry_number, line from reporting.postings limit 1)
    """,
    "a fact is posted once": """
        with last as (
          select * from reporting.journal_entries e where source_type = 'invoice'
            and number = (select max(number) from reporting.journal_entries
              where organization_id = e.organization_id) limit 1
        ), lines as (
          insert into reporting.postings
          select p.organization_id, entry_number + 1, line, p.posting_date, account_code, amount,
            original_amount, original_amount_currency_code, counterparty, invoice_id, is_reversal
          from reporting.postings p join last
            on p.organization_id = last.organization_id and entry_number = last.number
        )
        insert into reporting.journal_entries
        select organization_id, number + 1, gen_random_uuid(), posting_date, description,
          source_type, source_id, source_version + 1000, null, posting_count, now() from last
    """,
    "positions run without gaps to the head": """
        delete from recon.events where seq = (select min(seq) from recon.events)
    """,
    "versions are in their order": """
        update invoice.events set aggregate_version = 0 where seq = (
          select max(seq) from invoice.events)
    """,
    "a line of a statement is there": """
        delete from recon.transactions where transaction_id = (
          select transaction_id from recon.transactions limit 1)
    """,
    "an acknowledged report is written": "update reporting.reports set state = 1",
    "what was sent has arrived": """
        update agent.deliveries set delivery_id = gen_random_uuid() where delivery_id = (
          select delivery_id from agent.deliveries limit 1)
    """,
    "no event is a dead letter": """
        insert into recon.dead_letters (organization_id, producer, consumer, event_id, event,
          tries, error)
        values (gen_random_uuid(), 'invoice', 'main', gen_random_uuid(), '', 5, 'planted')
    """,
    "no task has failed": """
        update agent.tasks set state = 'FAILED' where task_id = (
          select task_id from agent.tasks limit 1)
    """,
    "nothing is left unfinished": "update agent.cursors set position = position - 1",
}
