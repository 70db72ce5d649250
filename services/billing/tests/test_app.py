"""What the composition root does before anybody waits for an answer."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, json, os, sys
from types import SimpleNamespace
from services.billing.app import assemble

asyncio.run(assemble(SimpleNamespace(env=os.environ, db=None)))
print("stripe" in sys.modules)
"""


def assembled(**env):
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("key", ["", "sk_test_1"])
def test_stripe_is_imported_at_the_start_where_it_is_set_up(key):
    prices = "team=price_1,business=price_2,unlimited=price_3"
    found = assembled(
        STRIPE_API_KEY=key, STRIPE_WEBHOOK_SECRET="whsec_1", BILLING_STRIPE_PRICES=prices
    )
    assert found.stdout.strip() == str(bool(key)), found.stderr


def test_a_plan_without_a_price_stops_the_start():
    found = assembled(
        STRIPE_API_KEY="sk_test_1",
        STRIPE_WEBHOOK_SECRET="whsec_1",
        BILLING_STRIPE_PRICES="team=price_1",
    )
    assert "ValueError: BILLING_STRIPE_PRICES lacks business, unlimited" in found.stderr
