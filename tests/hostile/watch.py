"""What holds after every run, whatever happened in it: no crash, no password anywhere, sums that
agree, an exit code that says what the accounts say."""

import base64
import os

from lib.bench import Failure

BROKEN = "AddressSanitizer", "runtime error:", "ThreadSanitizer", "mailhaul: bug", "BUG at"
OPEN = "waiting", "provisioning", "scanning", "copying", "settling", "paused", "stopped"


def spellings(password):
    """The password as bytes, and the parts of it that stay the same in any base64 around it."""
    raw = password.encode()
    found = {raw}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        found.add(text[(shift * 8 + 5) // 6:len(text) - 4])
    return {text for text in found if len(text) >= 6}


def files_below(top):
    for place, _, names in os.walk(top):
        for name in names:
            path = os.path.join(place, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path


def no_secret(haul, text, passwords):
    """No password in what was printed, nor in any file of the state directory."""
    for password in passwords:
        for word in spellings(password):
            if word in text.encode():
                raise Failure("a password was printed:\n%s" % text)
    wanted = [word for password in passwords for word in spellings(password)]
    for path in files_below(haul.state):
        with open(path, "rb") as f:
            data = f.read()
        for word in wanted:
            if word in data:
                raise Failure("%s holds a password (%r...)" % (path, word[:4]))


def no_crash(process):
    code, text = process.popen.returncode, process.output()
    if code < 0 or code > 5 or any(word in text for word in BROKEN):
        raise Failure("the run crashed: exit %r\n%s" % (code, text[-8000:]))


def exit_code(report):
    """What DESIGN section 8 says for these accounts, 0 to 4."""
    states = [a["state"] for a in report["accounts"]]
    if any(state in OPEN for state in states):
        return 4
    if "failed" in states:
        return 3
    if "done with remarks" in states:
        return 2
    if "done with remarks" in states:
        return 2
    return 0


def honest(report, code):
    """The sums agree and the exit code is theirs."""
    for account in report["accounts"]:
        items, state = account["items"], account["state"]
        ended = sum(items[s] for s in
                    ("copied", "adopted", "skipped", "failed", "held", "vanished"))
        left = items["open"]
        if items["found"] + items.get("surplus", 0) != ended + left:
            raise Failure("%s: %d found, %d ended, %d open" % (account["source"], items["found"],
                                                              ended, left))
        if state.startswith("done") and (left or items["in_doubt"]):
            raise Failure("%s is %s with open rows: %r" % (account["source"], state, items))
        if state == "failed" and not account.get("text"):
            raise Failure("%s failed without a word: %r" % (account["source"], account))
        if state == "done" and (items["failed"] or items["held"] or account["problems"]):
            raise Failure("%s is done and %r" % (account["source"], items))
    if code != exit_code(report):
        odd = [(a["source"], a["state"], a["reason"], a["items"], a["problems"])
               for a in report["accounts"] if a["state"] != "done" or
               a["items"]["found"] != a["items"]["copied"]]
        raise Failure("exit %d, the accounts say %d: %r" % (code, exit_code(report), odd))


def watched_run(haul, *args, passwords=(), expect=None, timeout=120, env=None):
    """A run with all that; returns (exit code, {source user: account of the report}, output)."""
    process = haul.run(*args, expect=None, timeout=timeout, env=env)
    no_crash(process)
    code, text = process.popen.returncode, process.output()
    no_secret(haul, text, passwords)
    if expect is not None and code not in (expect if isinstance(expect, tuple) else (expect,)):
        raise Failure("exit %d, wanted %r\n%s\n%s" % (code, expect, text, haul.debug_log()))
    if code in (1, 5):
        return code, {}, text
    report = haul.report()
    honest(report, code)
    return code, {a["source"]: a for a in report["accounts"]}, text
