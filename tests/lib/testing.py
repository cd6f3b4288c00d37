"""How a test is written: a function that takes a Bench, under @test, in tests/test_*.py.

    @test(timeout=60)
    def test_something(bench):
        d = Dovecot(bench, {"ann": "secret"})
        ...
        check(value == 3, "three, not %r" % value)
"""

import os
import shutil

from lib.bench import Failure, Skip

REGISTER = []  # of the module being loaded; the runner takes it over


class Test:
    def __init__(self, function, timeout, long, alone, root):
        self.function, self.timeout, self.long = function, timeout, long
        self.alone, self.root = alone, root
        self.name = function.__name__


def test(timeout=120, long=False, alone=False, root=False):
    """timeout: seconds until it is killed; long: left out by --short; alone: nothing beside it;
    root: skipped for others."""
    def register(function):
        REGISTER.append(Test(function, timeout, long, alone, root))
        return function
    return register


def check(condition, text="does not hold"):
    if not condition:
        raise Failure(text() if callable(text) else text)


def check_equal(have, want, what="value"):
    if have != want:
        raise Failure("%s: have %r, want %r" % (what, have, want))


def check_in(part, whole, what="text"):
    if part not in whole:
        raise Failure("%s: no %r in\n%s" % (what, part, whole))


def check_raises(kind, call, *args, **more):
    try:
        call(*args, **more)
    except kind as problem:
        return problem
    raise Failure("%s was expected" % (kind,))


def need_program(name):
    path = shutil.which(name)
    if path is None:
        raise Skip("%s is not installed" % name)
    return path


def mailhaul_binary():
    """The program under test: MAILHAUL, as an absolute path."""
    path = os.environ.get("MAILHAUL")
    if not path:
        raise Skip("MAILHAUL is not set to the program's path")
    path = os.path.abspath(path)
    if not os.access(path, os.X_OK):
        raise Failure("MAILHAUL: %s cannot be run" % path)
    return path
