"""Hostile and broken servers, disks and files: a clear error, an honest state, no crash, and the
next run makes good what can be made good."""

import re
import time

from hostile import commands
from hostile.commands import SETUPS, finish, run_always, run_once
from hostile.stage import START, Case, Stage, at_once, verbs_in_the_source
from hostile.watch import no_crash, no_secret
from hostile.wire import run_appends, run_codes, run_literals, run_noise
from lib.testing import check, check_equal, check_in, test


@test(timeout=120)
def test_every_command_has_its_cases(bench):
    """Each command that the connector can send has its NO, BAD, BYE and silence in the lists that
    the tests below run, on each side that sends it; those of a setup are looked at where they are
    made."""
    cases = commands.idle_cases() + commands.always(sent_by_check(bench))
    for setup in SETUPS:
        first, both = commands.clean_run(bench, setup)
        cases += commands.once(first, both, 1, True)
        check_equal(commands.without_cases(both, cases), [], setup)
    have = {(commands.verb_of(case.command)[0], case.action) for case in cases}
    want = {(verb, action) for verb in verbs_in_the_source() for action in commands.ACTIONS}
    check(len(want) > 60, "commands were not found in the source: %r" % want)
    check_equal(want - have, set(), "commands without cases")


@test(timeout=240)
def test_each_command_once(bench):
    """Each of the four, in turn in the first round and in the second."""
    print("%d accounts" % run_once(bench, "rich", 1, True))


@test(timeout=240)
def test_each_command_once_plain_server(bench):
    print("%d accounts" % run_once(bench, "plain", 1, True))


@test(timeout=240)
def test_each_command_once_old_server(bench):
    print("%d accounts" % run_once(bench, "old", 1, True))


@test(timeout=900, long=True)
def test_each_command_of_a_run(bench):
    """Not only the first of its kind in a round."""
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


@test(timeout=60)
def test_a_refused_login_beside_silence(bench):
    """Whichever side refuses, the login is not tried again because the other one is silent."""
    cases = []
    for side, other in ("source", "target"), ("target", "source"):
        case = commands.command_case(side, "AUTHENTICATE", "no", times=-1)
        case.rules.append((other, {"command": "AUTHENTICATE", "action": "stall", "times": -1}))
        case.end = "failed", "auth"
        cases.append(case)
    stage = Stage(bench, cases)
    commands.check_stated(stage.run(expect=3), lambda case, account: "as told" in account["text"])
    for case in cases:
        tried = [c for c in stage.log_of(case, case.side) if c["command"] == "AUTHENTICATE"]
        check_equal(len(tried), 1, "%s: logins" % case)


@test(timeout=240)
def test_noise_at_each_command(bench):
    """Every second case; there are nine to a command."""
    print("%d accounts" % run_noise(bench, 2))


@test(timeout=600, long=True)
def test_all_noise_at_each_command(bench):
    for setup in SETUPS:
        print("%d accounts" % run_noise(bench, 1, setup))


@test(timeout=240)
def test_literals_that_lie(bench):
    run_literals(bench, False)


@test(timeout=240, long=True)
def test_literals_that_lie_to_the_end(bench):
    run_literals(bench, True)


@test(timeout=120)
def test_response_codes(bench):
    run_codes(bench)


@test(timeout=240)
def test_appends_cut_short(bench):
    at_once(lambda: run_appends(bench),
            lambda: run_appends(bench, capabilities=["IMAP4REV1", "LITERAL+"]))


@test(timeout=120)
def test_a_line_without_end(bench):
    """A line of 1 GB is not read to its end, and nothing of it is kept."""
    cases = [commands.command_case(side, command, "long_line", bytes=1 << 30)
             for side in ("source", "target")
             for command in ("LIST", "UID FETCH", "SELECT", "AUTHENTICATE")
             if (side, command) not in (("source", "SELECT"), ("target", "UID FETCH"))]
    stage = Stage(bench, cases)
    process = stage.haul.spawn("run", "PROFILE")
    peak = 0
    while process.running():
        peak = max(peak, resident(process.pid))
        time.sleep(0.02)
    check(peak < 400 << 10, "the run took %d kB" % peak)  # a sanitizer's share in it
    sent = [server.control("counts")["sent"] for server in stage.servers.values()]
    check(max(sent) < 64 << 20, "bytes taken of endless lines: %r" % sent)
    finish(stage, stage.met())


def resident(pid):
    """VmHWM in kB."""
    try:
        with open("/proc/%d/status" % pid) as f:
            return int(f.read().partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        return 0


# --- UIDVALIDITY

def validity_stage(bench, cases, **more):
    for case in cases:
        case.command = case.action = ""
    return Stage(bench, cases, **more)


@test(timeout=120)
def test_uidvalidity_between_rounds(bench):
    """On either side, with the old UIDs or new ones: rows are found again, nothing moves twice."""
    kinds = [(side, folder, renumber) for side in ("source", "target")
             for folder in ("INBOX", "Sent") for renumber in (False, True)]
    cases = [Case("%s %s %s" % kind) for kind in kinds]
    stage = validity_stage(bench, cases)
    stage.run(expect=0)
    # UIDs that are not 1, 2, 3, so that new ones differ
    for case, (side, folder, renumber) in zip(cases, kinds):
        stage.servers[side].control("uidvalidity", user=case.user, folder=folder, value=987654,
                                    renumber=renumber)
    stage.run(expect=0)
    stage.must_be_whole()
    stage.change_source()
    stage.run(expect=0)
    stage.must_be_whole()
    check_equal(stage.servers["source"].violations(), [], "violations")


@test(timeout=120)
def test_uidvalidity_within_a_round(bench):
    validity_within_a_round(bench, (1, 2, 3))


@test(timeout=120)
def test_uidvalidity_between_scan_and_fetch(bench):
    validity_within_a_round(bench, (1, 2, 3, 4), run={"max_size": "1G"})


def validity_within_a_round(bench, examines, **more):
    """The folder is other mail from then on: this round stops there and says both values, the
    next one finds its rows again. Only a target that says so once, at a SELECT, and gives UIDs
    under the old value with each APPEND, has lied, and is not believed."""
    cases, moments = [], [("source", "EXAMINE", n) for n in examines] + \
        [("target", "SELECT", n) for n in (1, 2, 3)]
    for side, command, nth in moments:
        for action, renumber in (("uidvalidity", True), ("uidvalidity", False), ("lie", False)):
            case = Case("%s %s %d %s %s" % (side, command, nth, action, renumber), side,
                        [{"command": command, "nth": nth, "action": action, "value": 987654,
                          "renumber": renumber}])
            # A target's first is before it tells of its folders.
            case.end = ("done", None) if side == "target" and (action == "lie" or nth == 1) else (
                "failed", "uidvalidity")
            cases.append(case)
    stage = validity_stage(bench, cases, **more)
    accounts = stage.run()
    commands.check_stated(accounts, lambda case, account: re.search(
        r"UIDVALIDITY (was [15]\d{3}, is now 987654|987654, had [15]\d{3})$", account["text"]))
    finish(stage, stage.met())


@test(timeout=120)
def test_target_folder_emptied_or_made_again(bench):
    """Mail that was moved and is gone there is not filled in again: the account says so."""
    cases = [Case("emptied, new UIDVALIDITY"), Case("made again"), Case("gone"),
             Case("emptied, the same UIDVALIDITY")]
    stage = validity_stage(bench, cases)
    stage.run(expect=0)
    target = stage.servers["target"]
    for case in cases[:2]:
        target.control("expunge", user=case.user, folder="Sent")
    target.control("uidvalidity", user=cases[0].user, folder="Sent", value=987654)
    target.control("delete", user=cases[1].user, folder="Sent")
    target.control("create", user=cases[1].user, folder="Sent", uidvalidity=987655)
    target.control("delete", user=cases[2].user, folder="Sent")
    target.control("expunge", user=cases[3].user, folder="Sent")
    accounts = stage.run()
    for case, words in zip(cases, (("5", "987654"), ("5", "987655"), ("Sent",))):
        account = accounts[case]
        check_equal(account["state"], "failed", "%s: %r" % (case, account["text"]))
        for word in words + ("Sent",):
            check_in(word, account["text"], str(case))
        check(not target.control("state")[case.user].get("Sent"), "%s: refilled" % case)
    check_equal(accounts[cases[3]]["state"], "done", "users may delete their mail")
    check(not target.control("state")[cases[3].user]["Sent"], "refilled")


# --- lists and numbers that are not true

FLOOD = {"action": "untagged", "lines": ['* LIST (\\HasNoChildren) "/" "flood %d"' % n
                                         for n in range(100)]}


def run_flooded(bench, setup):
    """A LIST that nobody asked for, a hundred times, as each folder is asked for or selected."""
    cases = []
    for side, verbs in (("source", ("STATUS", "EXAMINE")), ("target", ("STATUS", "SELECT"))):
        for verb in verbs[setup == "rich":]:  # which is told all by LIST
            for times in 1, -1:
                case = Case("%s %s %d" % (side, verb, times), side,
                            [dict(FLOOD, command=verb, times=times)])
                case.command, case.action, case.end = verb, "untagged", ("done", None)
                cases.append(case)
    stage = Stage(bench, cases, **SETUPS[setup]())
    accounts = stage.run()
    commands.check_stated(accounts, lambda case, account: True)
    for case, account in accounts.items():
        check_equal((account["items"]["found"], account["items"]["copied"]), (6, 6), str(case))
    check_equal(stage.met(), {case.user for case in cases}, "cases met")
    stage.must_be_whole()
    made = {c["args"] for c in stage.servers["target"].commands("CREATE")}
    check(not any("flood" in args for args in made), "made: %r" % made)


@test(timeout=120)
def test_flood_of_lists(bench):
    """Neither crashes nor changes what is done."""
    at_once(lambda: run_flooded(bench, "rich"), lambda: run_flooded(bench, "plain"))


@test(timeout=120)
def test_uidnext_told_too_low(bench):
    """By STATUS, and by LIST with STATUS: messages at and above it are moved all the same, once,
    also those that come later."""
    for setup in SETUPS:
        cases = [Case("%d" % n) for n in range(2)]
        config = SETUPS[setup]()
        for side in "source", "target":
            config[side] = dict(config.get(side, {}), status_uidnext_off=-2)
        stage = validity_stage(bench, cases, **config)
        stage.run(expect=0)
        stage.must_be_whole()
        stage.change_source()
        stage.run(expect=0)
        stage.must_be_whole()
        before = stage.servers["target"].control("state")
        stage.run(expect=0)
        check_equal(stage.servers["target"].control("state"), before, "a further run")


# --- refusals of messages, check

@test(timeout=60)
def test_refused_messages(bench):
    """Each stands in the report with the server's words, and costs no other."""
    case = Case("refused")
    case.command = case.action = ""
    stage = Stage(bench, [case], target={"content": {
        "refuse": [{"pattern": "Subject: m1\\r", "code": "CANNOT", "text": "odd virus"}],
        "max_size": 4000}})
    stage.servers["source"].control("add", user=case.user, folder="INBOX", messages=[
        {"text": "Subject: big\r\n\r\n" + "x" * 5000, "date": START}])
    accounts = stage.run(expect=2)
    items = accounts[case]["items"]
    check_equal((items["failed"], items["copied"]), (2, 5), "failed, copied")
    texts = {p["uid"]: p["text"] for p in accounts[case]["problems"]}
    check_in("odd virus", texts[2])
    check(texts[4], "no word about the one too large")
    before = stage.servers["target"].control("state")
    stage.run(expect=2)
    check_equal(stage.servers["target"].control("state"), before, "target after a further run")
    stage.servers["target"].control("content", content={})
    stage.haul.call("retry", "PROFILE", expect=0)
    stage.run(expect=0)
    stage.must_be_whole(any_order=lambda c: True)


def sent_by_check(bench):
    stage = Stage(bench, [Case("clean")])
    stage.haul.call("check", "PROFILE", expect=0)
    return commands.counted(stage)


@test(timeout=120)
def test_check_with_each_command(bench):
    """`mailhaul check` meets the same answers: a verdict for each account, nothing written."""
    sent = sent_by_check(bench)
    check("GETQUOTAROOT" in sent["target"], "the quota was not asked for: %r" % sent)
    wrote = set(sent["target"]) & {"SELECT", "CREATE", "APPEND", "SUBSCRIBE", "UID STORE"}
    check(not wrote, "check wrote: %r" % wrote)
    stage = Stage(bench, commands.always(sent))
    process = stage.haul.call("check", "PROFILE", expect=3)
    no_crash(process)
    no_secret(stage.haul, process.output(), stage.passwords)
    verdicts = {line.split()[1]: line for line in process.output().splitlines()
                if line.startswith(("ok ", "FAULT "))}
    harmless = {"%s %s" % (command, action) for action in ("no", "bad")
                for command in ("NAMESPACE", "ID", "LIST ids", "GETQUOTAROOT")}
    for case in stage.cases:
        fault = verdicts[case.user].startswith("FAULT")
        named = "%s %s" % (case.command, case.action)
        check(fault != (named in harmless or case.command == "LOGOUT"), "%s: %s" % (
            case, verdicts[case.user]))
    check(not any(len(f) for u in stage.servers["target"].control("state").values()
                  for f in u.values()), "mail on the target")


@test(timeout=300, long=True)
def test_idle_side(bench):
    """While the source is silent for a minute the target is kept alive by NOOP; what it answers
    there is survived: the end of each is done."""
    stage = Stage(bench, commands.idle_cases(), source_options={"timeout": "2m"})
    accounts = stage.run(timeout=240)
    commands.check_ends(commands.IDLE, "rich", accounts, stage.met())
    finish(stage, stage.met())
