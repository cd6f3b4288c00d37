"""tests/crash: whatever kills a run, running again leaves the target as an undisturbed run does."""

from crash.suite import Pairing, numbered, source_standin
from lib.testing import check, test
from servers.dovecot import Dovecot


@test(timeout=900)
def test_every_step_dovecot(bench):
    source = source_standin(bench)
    target = Dovecot(bench, {})
    pairing = Pairing(bench, source, target, numbered(target.add_user))
    died, missed = pairing.every()
    check(died > 40, "only %d of %d steps were reached" % (died, died + missed))
