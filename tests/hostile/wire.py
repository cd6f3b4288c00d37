"""Answers that are no answers: noise, endless lines, literals that lie, ends in the middle."""

import signal
import time

from hostile.commands import SETUPS, check_stated, clean_run, command_case, finish
from hostile.stage import Case, Stage
from hostile.watch import no_crash, no_secret
from lib.bench import Failure, wait_for

NOISE = [{"action": "garbage"}, {"action": "garbage", "bytes": 3000, "close": True},
         {"action": "long_line", "bytes": 64 << 20}, {"action": "close"}, {"action": "reset"},
         {"action": "wrong_tag", "tag": "zz9"}, {"action": "hold"},
         {"action": "untagged", "lines": ["* XNEWS (a {3}", "b c)", "* 99999999999 EXISTS",
                                          "* STATUS", "* LIST", "* 7 FETCH", "* OK [UIDNEXT",
                                          "* 4294967296 EXPUNGE", "* BYTE", "*"]},
         {"action": "untagged", "lines": ["* LIST (\\Noselect) \"//\" {999999}", "x"]}]
FETCHES = [{"action": "close_in_literal"}, {"action": "close_in_literal", "share": 0},
           {"action": "close_in_literal", "share": 1}, {"action": "stall_in_literal"},
           {"action": "wrong_size", "delta": 1}, {"action": "wrong_size", "delta": 4},
           {"action": "wrong_size", "delta": 70}, {"action": "wrong_size", "delta": -1},
           {"action": "wrong_size", "delta": -20}, {"action": "wrong_size", "delta": 1 << 31},
           {"action": "huge_literal", "size": "99999999999999999999"},
           {"action": "huge_literal", "size": "18446744073709551615"},
           {"action": "huge_literal", "size": "9223372036854775808"},
           {"action": "huge_literal", "size": "-1"}, {"action": "huge_literal", "size": ""},
           {"action": "huge_literal", "size": "7+"}]
APPENDS = [{"action": "close_in_append"}, {"action": "stall_in_append"},
           {"action": "partial", "count": 1}, {"action": "partial", "count": 1, "then": "close"},
           {"action": "close", "after": True}, {"action": "no", "after": True},
           {"action": "bad", "after": True}, {"action": "bye", "after": True},
           {"action": "stall", "after": True}]
# stored, and confirmed with a code that does not fit
APPENDS += [{"action": "ok", "after": True, "code": "APPENDUID " + args} for args in (
    "5000 1:99", "5000 4294967295:1", "5000 0", "x y", "5000", "4294967296 1", "5000 1,,3", "")]


def case_of(side, command, rule, **more):
    rule = dict(rule, **more)
    action = rule.pop("action")
    case = command_case(side, command, action, **rule)
    case.name += "".join(" %s=%.30s" % pair for pair in sorted(rule.items()))
    return case


def noise_cases(sent):
    for side, counts in sent.items():
        for command in sorted(counts):
            for rule in NOISE:
                yield case_of(side, command, rule)


def run_noise(bench, stride, setup="rich"):
    """Noise at each command: no crash, every account ends, and the next runs make it whole."""
    _, sent = clean_run(bench, setup)
    stage = Stage(bench, list(noise_cases(sent))[::stride], **SETUPS[setup]())
    stage.run()
    stage.change_source()
    stage.run()
    finish(stage, stage.met(), lambda case: case.command == "APPEND")
    return len(stage.cases)


def run_literals(bench, to_the_end):
    """Every fetch of a body goes wrong in its way, again and again: nothing half ever lands. Then
    the rules are lifted and all arrives."""
    cases = [case_of("source", "UID FETCH", dict(rule, times=-1)) for rule in FETCHES]
    stage = Stage(bench, cases)
    if to_the_end:
        for case, account in stage.run(timeout=150).items():
            if account["state"] != "failed" or not account["text"]:
                raise Failure("%s: %s (%s)" % (case, account["state"], account.get("text")))
    else:
        stop_after(stage, 3)
    for case in cases:
        only_whole_messages(stage, case)
    stage.lift()
    stage.run(expect=0)
    stage.must_be_whole()


def stop_after(stage, tries):
    """Stops the run when every account has been tried so often."""
    process = stage.haul.spawn("run", "PROFILE")
    wait_for(lambda: all(process.output().count("warning: %s: " % c.user) >= tries
                         for c in stage.cases), 60, process.output)
    process.signal(signal.SIGTERM)
    time.sleep(1)  # the first waits for answers, the second does not
    process.signal(signal.SIGTERM)
    if process.wait(20) not in (3, 4):
        raise Failure("exit %d\n%s" % (process.popen.returncode, process.output()))
    no_crash(process)
    no_secret(stage.haul, process.output(), stage.passwords)


def run_appends(bench, **config):
    """APPENDs that end half way, or are done and not confirmed: each lands once."""
    cases = [case_of("target", "APPEND", dict(rule, nth=nth)) for rule in APPENDS
             for nth in (1, 2, 3)]
    cases += [Case("settle %s %s" % (command, action), "target",
                   [{"command": "APPEND", "action": "close", "after": True},
                    {"command": command, "action": action, "nth": 4 if command == "LIST" else 1}])
              for command in ("UID FETCH", "SELECT", "LIST") for action in
              ("no", "bad", "bye", "stall", "close", "garbage", "reset")]
    for case in cases:
        case.command = "APPEND"
    stage = Stage(bench, cases, target=config)
    stage.run()
    finish(stage, stage.met(), lambda case: True)
    return len(cases)


def only_whole_messages(stage, case):
    """What is on the target is on the source, byte for byte."""
    source, target = (stage.servers[side].control("state")[case.user]
                      for side in ("source", "target"))
    for folder, rows in target.items():
        good = [row[2] for row in source.get(folder, ())]
        for row in rows:
            if row[2] not in good:
                raise Failure("%s: %s holds what no source message is: %r" % (case, folder, row))
            good.remove(row[2])


CODES = ("UNAVAILABLE", "INUSE", "LIMIT", "OVERQUOTA", "TRYCREATE", "NONEXISTENT", "SERVERBUG",
         "NOPERM", "CONTACTADMIN", "ALREADYEXISTS", "EXPIRED", "X-NOT-KNOWN 1 (2 \"]\")", "")
# Ends of the run that met it; the others are done in that run: what is worth a wait is waited out,
# what concerns a folder or a message is tried again.
CODE_ENDS = {
    ("APPEND", "NOPERM"): ("failed", "perm"),
    ("APPEND", "ALREADYEXISTS"): ("failed", "exists"),
    ("APPEND", "EXPIRED"): ("failed", "auth_expired"),
    ("CREATE", "ALREADYEXISTS"): ("failed", "name"),  # it says so, and lists no such folder
    ("LIST", "NOPERM"): ("failed", "perm"),
    ("LIST", "ALREADYEXISTS"): ("failed", "exists"),
    ("LIST", "EXPIRED"): ("failed", "auth_expired"),
    ("LIST", CODES[-2]): ("failed", "refused"),
    ("LIST", ""): ("failed", "refused"),
    ("AUTHENTICATE", "EXPIRED"): ("failed", "auth_expired"),
}
# A login that is refused is not tried again: the account would be locked, or our address.
CODE_ENDS.update({("AUTHENTICATE", code): ("failed", "auth") for code in (
    "OVERQUOTA", "TRYCREATE", "NONEXISTENT", "NOPERM", "ALREADYEXISTS", CODES[-2], "")})


def run_codes(bench):
    """Each response code of a NO, once at each command that a target gets: no account is lost by
    it for good."""
    cases = []
    for command in "APPEND", "SELECT", "CREATE", "LIST", "AUTHENTICATE":
        for code in CODES:
            case = command_case("target", command, "no", code=code)
            case.name += " [%s]" % code
            case.end = CODE_ENDS.get((command, code), ("done", None))
            cases.append(case)
    stage = Stage(bench, cases)
    check_stated(stage.run(), lambda case, account: "as told" in account["text"] or
                 case.end[1] == "name")
    finish(stage, stage.met(), lambda case: True)
