"""agent: reads documents, and tells who is to know when that has ended.

Owns jobs with their steps, webhooks, deliveries and notification settings; keeps copies of
organizations and of what is known of invoices. Calls invoice, for a document's bytes, to upload
what is cut out of a file with several documents, and to hand over what was read. Publishes
JobProgressed and JobFinished.

A job runs extraction, splitting (of a file with several documents), categorization and compliance,
each recorded and repeatable (jobs/). The reading itself is the engine in reading/; a model is asked
only where a key is set (model.py).
"""
