import time
import uuid

from libs.pg import uuid7


def test_an_id_is_a_uuid_of_version_7_with_the_time_of_its_making() -> None:
    made = uuid.UUID(uuid7())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert abs((made.int >> 80) - time.time() * 1000) < 1000


def test_ids_sort_in_the_order_in_which_they_were_made() -> None:
    ids = [uuid7() for _ in range(20_000)]
    assert ids == sorted(set(ids))
