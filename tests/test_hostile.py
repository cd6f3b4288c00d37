"""Hostile and broken servers, disks and files: a clear error, an honest state, no crash, and the
next run makes good what can be made good."""

from hostile import commands
from hostile.commands import SETUPS, run_always, run_once
from hostile.stage import at_once, verbs_in_the_source
from hostile.wire import run_appends, run_literals, run_noise
from lib.testing import check, test

# sent in other tests: by `mailhaul check`, and by a side that has waited for a minute
ELSEWHERE = {"GETQUOTAROOT", "NOOP"}


@test(timeout=120)
def test_every_command_has_its_cases(bench):
    """What the connector can send is what the setups make it send."""
    verbs = verbs_in_the_source()
    for setup in SETUPS:
        _, sent = commands.clean_run(bench, setup)
        for counts in sent.values():
            verbs -= set(counts)
    check(verbs == ELSEWHERE, "commands without cases: %s" % sorted(verbs - ELSEWHERE))


@test(timeout=240)
def test_each_command_once(bench):
    print("%d accounts" % run_once(bench, "rich", 3))


@test(timeout=240)
def test_each_command_once_plain_server(bench):
    print("%d accounts" % run_once(bench, "plain", 1))


@test(timeout=240)
def test_each_command_once_old_server(bench):
    print("%d accounts" % run_once(bench, "old", 1))


@test(timeout=900, long=True)
def test_each_command_of_a_run(bench):
    """Not only the first of its kind."""
    for setup in SETUPS:
        print("%d accounts" % run_once(bench, setup, 8))


def always(bench, name):
    at_once(lambda: run_always(bench, name, False),
            lambda: run_always(bench, name, True))


@test(timeout=300)
def test_each_command_always(bench):
    always(bench, "rich")


@test(timeout=300, long=True)
def test_each_command_always_plain_server(bench):
    always(bench, "plain")


@test(timeout=300, long=True)
def test_each_command_always_old_server(bench):
    always(bench, "old")


@test(timeout=240)
def test_noise_at_each_command(bench):
    print("%d accounts" % run_noise(bench))


@test(timeout=240)
def test_literals_that_lie(bench):
    run_literals(bench)


@test(timeout=240)
def test_appends_cut_short(bench):
    at_once(lambda: run_appends(bench),
            lambda: run_appends(bench, capabilities=["IMAP4REV1", "LITERAL+"]))
