"""billing: our own customers' plans, usage and payments.

Owns subscriptions, usage and the mirror of Stripe. Calls nobody of ours; follows auth (a new
organization starts on the free plan) and invoice (documents are counted). Publishes
EntitlementsChanged, SubscriptionChanged and LimitReached.
"""
