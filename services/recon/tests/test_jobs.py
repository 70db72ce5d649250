"""Imports, reconciliation and invoice facts, through the running service."""
import time, random
from datetime import timedelta
from services.recon.tests.conftest import DAY, EXAMPLES, IBAN, csv  # noqa
from auditron.recon.v1 import recon_pb2

async def test_big(books):
    account = await books.account(iban=IBAN)
    r=random.Random(1)
    t=time.time()
    data=csv(*((DAY+timedelta(i//1000), f"{r.randrange(1,10**6)/100:.2f}".replace(".",","), f"Kunde {r.randrange(9999)} GmbH", f"Rechnung {r.randrange(10**7)} Danke "+"x"*20, "DE02701500000000594937") for i in range(180_000)))
    print(len(data), time.time()-t); t=time.time()
    s=await books.send(account, data); print("sent", time.time()-t)
    from libs.testkit import eventually
    first = await eventually(lambda: books.statement(s.statement_id), lambda x: x.state!=1, 300)
    print(time.time()-t, first); t=time.time()
    await books.settled(); print("recon", time.time()-t)
    t=time.time()
    s=await books.send(account, data)
    first = await eventually(lambda: books.statement(s.statement_id), lambda x: x.state!=1, 300)
    print("again",time.time()-t, first.imported_count); t=time.time()
    assert 0
