"""Every command the connector sends, answered NO, BAD, BYE and not at all.

What a clean run sends is counted at the stand-ins; each of these commands then gets its four
cases, as the first, second, ... of its kind refused once, and as refused for ever. All cases of a
setup are mailboxes of one run. ENDS says how a case ends; where it says nothing, the account is
done by itself in the same run."""

import fnmatch
import re
from collections import Counter

from hostile.stage import Case, Stage
from lib.bench import Failure
from standins.imapd import CAPABILITIES, CHANGES

ACTIONS = "no", "bad", "bye", "stall"

# Commands that ask for this or that, by their arguments, as commands of their own.
KINDS = {
    "UID FETCH": {"scan": ["*RFC822.SIZE)"], "body": ["*BODY.PEEK*"], "uids": ["* (UID)"],
                  "flags": ["*(UID FLAGS)", "*MODSEQ)"], "changes": ["*CHANGEDSINCE*"]},
    "LIST": {"folders": ['* "[*]"', "*SUBSCRIBED*"], "ids": ["*MAILBOXID*"],
             "delimiter": ['* ""']},
}


def kind_of(command, args):
    """"UID FETCH scan"; a command that stands for one thing is its own kind."""
    for kind, globs in KINDS.get(command, {}).items():
        if any(fnmatch.fnmatchcase(args, glob) for glob in globs):
            return "%s %s" % (command, kind)
    if command in KINDS:
        raise Failure("%s%s is of no kind in KINDS" % (command, args))
    return command


def verb_of(kind):
    """The command of a kind, and globs of its arguments."""
    for command, kinds in KINDS.items():
        if kind.startswith(command + " "):
            return command, kinds[kind[len(command) + 1:]]
    return kind, "*"


PLAIN = {"capabilities": ["IMAP4REV1"], "capabilities_before": ["IMAP4REV1"],
         "greeting": "* OK ready\r\n", "caps_at_login": False}
OLD = {"capabilities": ["IMAP4REV1", "XLIST", "NAMESPACE", "UIDPLUS"],
       "capabilities_before": ["IMAP4REV1", "STARTTLS", "AUTH=CRAM-MD5"]}


def rich():
    """All that the connector makes use of."""
    config = {"capabilities": CAPABILITIES + CHANGES + ["COMPRESS=DEFLATE"]}
    return {"source": config, "target": config, "source_options": {"compress": "yes"},
            "target_options": {"compress": "yes"}}


def plain():
    """No extension at all, and capabilities only when asked for."""
    return {"source": PLAIN, "target": PLAIN}


def old():
    """STARTTLS, a login of questions and answers, XLIST; all is scanned before it is fetched."""
    tls = {"tls_verify": "no", "security": "starttls", "auth": "cram-md5"}
    return {"source": OLD, "target": OLD, "cert": "good", "source_options": tls,
            "target_options": tls, "run": {"max_size": "1G"}}


SETUPS = {"rich": rich, "plain": plain, "old": old}

# "setup side command which action" -> (state, reason) after the run in which the rule was met
ANY = r"\w+ \w+ "
ONCE = [
    (ANY + r"(AUTHENTICATE|LOGIN) \d (no|bad)", ("failed", "auth")),
    (ANY + r"CAPABILITY \d no", ("failed", "refused")),
    (ANY + r"LIST folders \d no", ("failed", "refused")),  # done without ids or a delimiter
    (ANY + r"(SUBSCRIBE|UID STORE) \d (no|bad)", ("done with remarks", None)),
    # a body is asked for again
    (ANY + r"UID FETCH (scan|uids|flags) \d no", ("failed", "refused")),
]
ALWAYS = [
    (ANY + r"GREETING always (no|bad)", ("failed", "protocol")),
    (ANY + r"(AUTHENTICATE|LOGIN) always (no|bad)", ("failed", "auth")),
    (ANY + r"(CAPABILITY|LIST folders|UID FETCH (scan|uids)) always no", ("failed", "refused")),
    (ANY + r"UID FETCH uids always \w+", ("done", None)),  # the next attempt scans
    (r"\w+ source UID FETCH changes always (no|bad)", ("done", None)),  # all is read instead
    (r"\w+ target UID FETCH flags always no", ("failed", "refused")),
    (ANY + r"(CAPABILITY|LIST folders|UID FETCH \w+|STARTTLS) always bad", ("failed", "bad")),
    (r"\w+ source UID FETCH body always no", ("done with remarks", None)),  # of each message
    (ANY + r"STARTTLS always no", ("failed", "tls")),
    (r"\w+ source EXAMINE always (no|bad)", ("failed", "nofolder")),
    (r"plain target SELECT always (no|bad)", ("failed", "nofolder")),  # UIDs cannot be learnt
    (r"\w+ target CREATE always no", ("failed", "refused")),
    (r"\w+ target CREATE always bad", ("failed", "bad")),
    (r"\w+ target (APPEND|SUBSCRIBE|UID STORE) always (no|bad)", ("done with remarks", None)),
    # named by a warning
    (r"\w+ target (SUBSCRIBE|UID STORE) always (no|bad)", ("done with remarks", None)),
    (ANY + r"LOGOUT always \w+", ("done", None)),
    (ANY + r"GETQUOTAROOT always \w+", ("done", None)),  # asked once in a run
    (ANY + r"[A-Za-z ]+ always bye", ("failed", "bye")),
    (ANY + r"[A-Za-z ]+ always stall", ("failed", "timeout")),
]


IDLE = [(r"rich target NOOP \d \w+", ("done", None))]  # the link is made anew


def stated(table, case, setup):
    """(state, reason) as patterns; done where the table is silent."""
    for pattern, end in table:
        if re.fullmatch(pattern, "%s %s" % (setup, case.name)):
            return end
    return "done", None


def check_ends(table, setup, accounts, met):
    """Each account that met its rule ended as stated; the others are done."""
    wrong = []
    for case, account in accounts.items():
        state, reason = stated(table, case, setup) if case.user in met else ("done", None)
        if not re.fullmatch(state, account["state"]) or not re.fullmatch(
                str(reason), str(account.get("reason"))):
            wrong.append("%s: %s %s (%s), stated: %s %s" % (
                case, account["state"], account.get("reason"), account.get("text"), state,
                reason))
        elif case.action in ("no", "bad") and account["state"] == "failed" and \
                case.command != "GREETING" and "as told" not in account["text"]:
            wrong.append("%s: the server's words are not in %r" % (case, account["text"]))
    if wrong:
        raise Failure("%d accounts ended otherwise:\n%s" % (len(wrong), "\n".join(wrong)))


def check_stated(accounts, good_text):
    """Each case ended as its `end` says; good_text(case, account) of what failed."""
    wrong = ["%s: %s %s (%s), stated: %s %s" % (case, account["state"], account.get("reason"),
                                               account.get("text"), *case.end)
             for case, account in accounts.items()
             if (account["state"], account.get("reason")) != case.end
             or (account["state"] == "failed" and not good_text(case, account))]
    if wrong:
        raise Failure("%d accounts ended otherwise:\n%s" % (len(wrong), "\n".join(wrong)))


def clean_run(bench, setup):
    """How often each command is sent in the first round, and in two: {side: {command: count}}"""
    stage = Stage(bench, [Case("clean")], **SETUPS[setup]())
    counts = []
    stage.run(expect=0)
    counts.append(counted(stage))
    stage.change_source()
    stage.run(expect=0)
    counts.append(counted(stage))
    stage.must_be_whole()
    for side, server in stage.servers.items():
        if server.violations():
            raise Failure("%s: %r" % (side, server.violations()))
    return counts


def counted(stage):
    counts = {side: Counter(kind_of(c["command"], c["args"])
                            for c in stage.log_of(stage.cases[0], side))
              for side in stage.servers}
    for commands in counts.values():
        commands["GREETING"] = commands["LOGIN"] + commands["AUTHENTICATE"]
    return counts


def command_case(side, command, action, **rule):
    times = "always" if rule.get("times") else rule.get("nth", 1)
    verb, args = verb_of(command)
    case = Case("%s %s %s %s" % (side, command, times, action), side,
                [dict(rule, command=verb, args=args, action=action)])
    case.command, case.action = command, action
    return case


def once(first, both, most, in_turn=False):
    """Each command of two clean rounds, refused once: the first `most` of its kind in each.
    in_turn: each action at one of these moments only, the next one at the next."""
    cases = []
    for side, counts in both.items():
        for command, count in sorted(counts.items()):
            begun = first[side][command]
            moments = sorted({n for start in (0, begun) for n in range(start + 1, start + most + 1)
                              if n <= count})
            for k, action in enumerate(ACTIONS):
                cases += [command_case(side, command, action, nth=nth) for nth in
                          (moments[k % len(moments):][:1] if in_turn else moments)]
    return cases


def without_cases(sent, cases):
    """What was sent and lacks one of the four: [(side, command, action)]"""
    have = {(case.side, case.command, case.action) for case in cases}
    return sorted({(side, command, action) for side, counts in sent.items()
                   for command in counts for action in ACTIONS} - have)


def always(sent, without=None):
    """And refused for ever; those of `without` come with a later round."""
    return [command_case(side, command, action, times=-1)
            for side, counts in sent.items()
            for command in sorted(counts)
            if without is None or not without[side][command]
            for action in ACTIONS]


def idle_cases():
    """NOOP, which is sent to a side that has waited for a minute."""
    cases = []
    for action in ACTIONS + ("garbage", "close"):
        case = command_case("target", "NOOP", action)
        case.rules.append(("source", {"command": "UID FETCH", "action": "stall", "seconds": 65,
                                      "nth": 2}))
        cases.append(case)
    return cases


def run_once(bench, setup, most, in_turn=False):
    """Two rounds with each command refused once; the third finds all whole. Where a message goes
    with its neighbours in commands of their own, one that is sent again comes behind them."""
    first, both = clean_run(bench, setup)
    stage = Stage(bench, once(first, both, most, in_turn), timeout="3s", **SETUPS[setup]())
    if without_cases(both, stage.cases):
        raise Failure("commands without cases: %r" % without_cases(both, stage.cases))
    met = set()
    for change in False, True:
        if change:
            stage.change_source()
        accounts = stage.run()
        now = stage.met()
        check_ends(ONCE, setup, accounts, now - met)
        met |= now
    finish(stage, met, lambda case: case.command == "APPEND" and case.action == "no")
    return len(stage.cases)


def finish(stage, met, any_order=lambda case: False):
    """Every rule was met. Without them the round that some accounts did not end comes to its end,
    the next one finds all whole (a flag change that was refused counts there), and then nothing
    is left to do."""
    missed = [c.name for c in stage.cases if c.user not in met]
    if missed:
        raise Failure("never came to it: %s" % ", ".join(missed))
    stage.lift()
    stage.haul.call("retry", "PROFILE", expect=(0, 2))
    stage.run(expect=0)
    stage.run(expect=0)
    stage.must_be_whole(any_order=any_order)
    before = stage.servers["target"].control("state")
    stage.run(expect=0)
    if stage.servers["target"].control("state") != before:
        raise Failure("a further run changed the target")


def run_always(bench, setup, later):
    """later: the commands that only a second round sends, else those of the first."""
    first, both = clean_run(bench, setup)
    stage = Stage(bench, always(both, first) if later else always(first), armed=not later,
                  **SETUPS[setup]())
    missing = without_cases(both, always(first) + always(both, first))
    if missing:
        raise Failure("commands without cases: %r" % missing)
    if later:
        stage.run(expect=0)
        stage.change_source()
        stage.arm()
    accounts = stage.run(timeout=150)
    met = stage.met()
    check_ends(ALWAYS, setup, accounts, met)
    finish(stage, met)
    return len(stage.cases)
