"""Which command is answered wrongly, and how: the rules a test gives the stand-in.

A rule is a dict:
  command   canonical name ("UID FETCH", "APPEND", "GREETING"), a glob; GREETING and CONNECT stand
            for the moments before the first command
  args      glob of what follows the command in its first line, or a list of them
  user, folder   globs, if the rule is for some only (folder: the selected one, or the argument)
  host      glob of the address that was connected to (config: address), for what comes before
            the login
  name      of the rule, for lift
  nth       counted among the commands the rule fits, from 1 (default 1)
  times     how many from there on (default 1; -1 = all)
  after     true: the command takes effect first, then the action replaces its answer
  action    no, bad          tagged, with code and text
            bye              untagged BYE, then the end of the connection
            close, reset     FIN, or RST
            stall            silence for `seconds` (default: for ever), or until a rule with a name
                             is lifted; then it goes on
            ok               tagged OK without any effect
            garbage          `bytes` of noise, then as usual (close: true ends it there)
            long_line        `bytes` without a line end, then as usual
            untagged         `lines` sent before the command's own answer
            hold             the tagged answer is sent after that of the next command
            wrong_tag        the answer carries `tag`
            close_in_literal, stall_in_literal   in the body of the `message`-th message of this
                             FETCH, after `share` (0.5) of it
            wrong_size       the literal's size is `delta` off, the bytes are not
            huge_literal     the literal announces `size` (text)
            uidvalidity      the folder gets `value`; renumber: true gives new UIDs as well
            lie              as uidvalidity, but only this answer says so
            partial          of an APPEND only `count` messages are stored; then `then` (no, close)
            close_in_append  the connection ends after `bytes` of the next literal were read
            stall_in_append  or nothing more is read
            do               runs the control operations in `ops`, then as usual
  code, text  of no, bad and bye
"""

import fnmatch
import threading


def fits(text, globs):
    return any(fnmatch.fnmatchcase(text, glob)
               for glob in ([globs] if isinstance(globs, str) else globs))


class Rules:
    def __init__(self, rules):
        self.lock = threading.Lock()
        self.set(rules)

    def set(self, rules):
        with self.lock:
            self.rules = [dict(r, seen=0) for r in rules]

    def add(self, rule):
        with self.lock:
            self.rules.append(dict(rule, seen=0))

    def has(self, name):
        with self.lock:
            return any(r.get("name") == name for r in self.rules)

    def lift(self, name):
        with self.lock:
            self.rules = [r for r in self.rules if r.get("name") != name]

    def find(self, command, user, folder, host, args=""):
        """The first rule whose turn it is; every rule that fits counts this command."""
        found = None
        with self.lock:
            for rule in self.rules:
                if not fnmatch.fnmatchcase(command, rule["command"].upper()) \
                        or not fnmatch.fnmatchcase(user, rule.get("user", "*")) \
                        or not fnmatch.fnmatchcase(folder, rule.get("folder", "*")) \
                        or not fnmatch.fnmatchcase(host, rule.get("host", "*")) \
                        or not fits(args, rule.get("args", "*")):
                    continue
                rule["seen"] += 1
                first, times = rule.get("nth", 1), rule.get("times", 1)
                if found is None and rule["seen"] >= first and (
                        times < 0 or rule["seen"] < first + times):
                    found = rule
        return found

    def used(self):
        """Each rule with how often it fitted; 0 = it never had a chance."""
        with self.lock:
            return [dict(r) for r in self.rules]
