"""The main job on real servers: what the target gives is what the source gives."""

from corpus import boxes
from lib.haul import Haul
from lib.testing import check_equal, test
from servers.dovecot import SPECIAL, Dovecot


@test(timeout=60)
def test_first_copy(bench):
    """A small mailbox moves, and a second run moves nothing."""
    source = Dovecot(bench, {"ann": "secret"}, special_use=SPECIAL)
    target = Dovecot(bench, {"ann": "secret"}, special_use=SPECIAL)
    boxes.fill_account(source, "ann", boxes.crash_set(refused=False))
    haul = Haul(bench, source, target, {"ann": "secret"})
    haul.run()
    haul.must_match("ann")
    before = haul.uids("ann")
    haul.run()
    check_equal(haul.uids("ann"), before, "UIDs after a second run")
