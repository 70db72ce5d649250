"""Makes invoices, credit notes and receipts, with what a reader should find in them.

Two splits: what `unseen` shows (its layouts, its words for labels) `tuning` never does.
Every firm and person is invented at random.
"""
