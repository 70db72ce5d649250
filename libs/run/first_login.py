"""The login that a newly made platform is entered with."""

import json
import urllib.error
import urllib.request

from libs.run.platform import Platform

EMAIL = "owner@example.com"


def first_login(platform: Platform) -> tuple[str, str]:
    """The first user's e-mail and password, signed up if absent. Blocks; URLError if refused."""
    password = platform.secret("first_login")[:20]
    body = {
        "email": EMAIL,
        "password": password,
        "organization_name": "My company",
        "base_currency_code": "EUR",
    }
    request = urllib.request.Request(  # noqa: S310  # our own loopback address
        f"{platform.url}/v1/signup",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310
            return EMAIL, password
    except urllib.error.HTTPError as error:
        if error.code != 409:  # 409: signed up at an earlier start
            raise
        return EMAIL, password
