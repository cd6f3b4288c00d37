# tests/local.mk - the tests against real servers.
SERVER_CHECK = @:
