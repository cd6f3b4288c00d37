"""Profiles and user lists with every fault, one table each: (name, text, what the program says);
and lists that only look odd."""

SOUND = """[source]
host = 127.0.0.1
port = {port}
security = none
[target]
host = 127.0.0.1
port = {target_port}
security = none
[users]
file = users.csv
[run]
state_dir = {state}
"""


def with_line(section, line):
    """The sound profile with one more line in a section (bytes or text)."""
    line = line if isinstance(line, bytes) else line.encode()
    return SOUND.encode().replace(b"[%s]\n" % section.encode(),
                                  b"[%s]\n%s\n" % (section.encode(), line))


def without(line):
    return SOUND.replace(line + "\n", "").encode()


# name, profile, words of the answer, each in one line of its own with the file and, where the
# fault stands on one, the line
PROFILES = [
    ("unknown key", with_line("run", "jbos = 3"), [":12:", "jbos", "jobs"]),
    ("unknown section", SOUND.encode() + b"[rnu]\njobs = 3\n", ["rnu", "run"]),
    ("later option", with_line("run", "verify = yes"), [":12:", "verify"]),
    ("later section", SOUND.encode() + b"[provision]\nwhen = before\n", ["provision"]),
    ("not a number", with_line("run", "jobs = many"), [":12:", "[run] jobs"]),
    ("too small", with_line("run", "jobs = 0"), [":12:", "[run] jobs", "1"]),
    ("too large", with_line("run", "jobs = 999999999999999999999"), [":12:", "[run] jobs"]),
    ("not a duration", with_line("run", "settle_wait = 5 parsecs"), [":12:", "settle_wait"]),
    ("not a size", with_line("run", "max_size = 10Q"), [":12:", "max_size"]),
    ("not a date", with_line("run", "since = 2024-02-30"), [":12:", "since"]),
    ("dates crossed", with_line("run", "since = 2024\nbefore = 2020"), ["since", "before"]),
    ("not a choice", with_line("source", "type = smtp"), [":2:", "type", "imap"]),
    ("not a bool", with_line("folders", "special_use = maybe").replace(
        b"[run]", b"[folders]\nspecial_use = maybe\n[run]"), ["special_use", "yes"]),
    ("port too large", without("port = {port}").replace(b"[source]\n", b"[source]\nport = 70000\n"),
     [":2:", "port", "65535"]),
    ("tls on 143", b"[source]\nhost = a.example\nport = 143\n[target]\nhost = b.example\n"
     b"[users]\nfile = users.csv\n", [":3:", "143"]),
    ("an international host", SOUND.replace("127.0.0.1", "bücher.example", 1).encode(),
     [":2:", "[source] host", "xn--"]),
    ("no host", without("host = 127.0.0.1"), ["[source] host", "missing"]),
    ("url as host", b"[source]\nhost = imap://a.example/\n[target]\nhost = b.example\n"
     b"[users]\nfile = users.csv\n", [":2:", "host"]),
    ("master without admin", with_line("source", "auth = master"), [":2:", "admin_user"]),
    ("admin without password", with_line("source", "admin_user = boss"), [":2:", "admin_password"]),
    ("cram-md5 for an admin", with_line(
        "source", "auth = cram-md5\nadmin_user = boss\nadmin_password = env:X"), ["admin_user"]),
    ("pin in clear text", with_line("source", "tls_verify = spki-sha256:" + "A" * 43 + "="),
     [":2:", "no effect"]),
    ("bad pin", b"[source]\nhost = a.example\ntls_verify = spki-sha256:abc\n[target]\n"
     b"host = b.example\n[users]\nfile = users.csv\n", [":3:", "tls_verify"]),
    ("twice a key", with_line("run", "jobs = 2\njobs = 3"), [":13:", "second time", "12"]),
    ("twice a section", SOUND.encode() + b"[run]\njobs = 3\n", ["second time"]),
    ("before a section", b"jobs = 3\n" + SOUND.encode(), [":1:", "jobs"]),
    ("no equals", with_line("run", "jobs 3"), [":12:", "="]),
    ("no bracket", SOUND.replace("[run]", "[run").encode(), ["]"]),
    ("a line too long", with_line("run", "state_dirx = " + "x" * 5000), [":12:", "bytes"]),
    ("a NUL", with_line("run", b"jobs = 3\0"), [":12:", "NUL"]),
    ("a control byte", with_line("run", b"jobs = 3\x1b[31m"), [":12:", "control"]),
    ("not UTF-8", with_line("run", b"log_dir = /tmp/\xff"), [":12:", "UTF-8"]),
    ("UTF-16", "\ufeff[source]\nhost = a\n".encode("utf-16-le"), ["UTF-16"]),
    ("cut by a semicolon", with_line("run", "log_dir = /a;b"), [":12:", "quotes"]),
    ("an open quote", with_line("run", 'log_dir = "/a'), [":12:", "quote"]),
    ("a joined line", with_line("run", "log_dir = /a\\"), [":12:", "backslash"]),
    ("a code page", with_line("users", "encoding = klingon"), ["encoding", "klingon"]),
    ("one login for all", with_line("users", "target_user = all"), ["target_user"]),
    ("odd braces", with_line("users", "target_user = {name}"), ["target_user"]),
    ("empty", b"", ["missing"]),
]

# name, list, words
LISTS = [
    ("twice a user", b"ann;Geheim1\nbob;Geheim2\nANN;Geheim3\n", [":3:", "same user", "1"]),
    ("twice a target", b"user;password;target_user\nann;Geheim1;x\nbob;Geheim2;x\n",
     [":3:", "same login"]),
    ("an open quote", b'ann;"Geheim1\nbob;Geheim2\n', [":1:5", "not closed"]),
    ("text after a quote", b'ann;"Geheim1"Geheim2;x\n', [":1:", "quote"]),
    ("a blank before a quote", b'ann; "Geheim1"\n', [":1:", "blank"]),
    ("too many columns", b"ann;Geheim1;Ann;and;more\n", [":1:", "columns"]),
    ("a semicolon in a password", b"ann;Geheim1;Geheim2;Ann\nbob;x;Bob\n", [":1:", "columns"]),
    ("no user", b";Geheim1;Ann\n", [":1:", "user"]),
    ("unknown column", b"user;pasword\nann;Geheim1\n", [":1:", "password"]),
    ("twice a column", b"user;password;password\nann;Geheim1;Geheim2\n", [":1:", "password"]),
    ("no user column", b"password;name\none;Ann\n", ["user"]),
    ("NUL", b"ann;Geheim1\0x\n", [":1:", "NUL"]),
    ("control bytes in a user", b"a\x1bnn;Geheim1\n", [":1:"]),
    ("not UTF-8", b"j\xf6rg;Geheim1\n", [":1:", "UTF-8"]),
    ("half UTF-16", b"\xff\xfea", ["UTF-16"]),
    ("empty", b"", ["no user"]),
    ("blank lines only", b"\n\n  \n", ["no user"]),
    ("header only", b"user;password\n", ["no user"]),
    ("a long row", b"ann;" + b"x" * 70000 + b"\n", [":1:"]),
    ("a long user", b"a" * 3000 + b";Geheim1\n", [":1:"]),
    ("many faults", b"".join(b";p%d\n" % n for n in range(300)), [":1:", ":200:", "100 more"]),
]

# name, list, {user: password} as the server gets them
SOUND_LISTS = [
    ("semicolons", b"ann;Geheim;Ann A.\nbob;Wort", {"ann": "Geheim", "bob": "Wort"}),
    ("commas", b"ann,Geheim,\"A, Ann\"\nbob,Wort,B\n", {"ann": "Geheim", "bob": "Wort"}),
    ("tabs", b"ann\tGeheim\tAnn\nbob\tWort\tBob\n", {"ann": "Geheim", "bob": "Wort"}),
    ("quotes", b'ann;"Ge""heim;,\t";Ann\n', {"ann": 'Ge"heim;,\t'}),
    ("a bare quote within", b'ann;Ge"heim;Ann\n', {"ann": 'Ge"heim'}),
    ("blanks belong to passwords", b"ann; Geheim ;Ann\n", {"ann": " Geheim "}),
    ("BOM, CRLF", b"\xef\xbb\xbfann;Geheim;Ann\r\nbob;Wort;Bob\r\n",
     {"ann": "Geheim", "bob": "Wort"}),
    ("UTF-8", "ann;Gehe\u00efm-\u00fc\u4e2d;\u00c4nn\n".encode(),
     {"ann": "Gehe\u00efm-\u00fc\u4e2d"}),
    ("UTF-16", "ann;Gehe\u00efm;\u00c4nn\n".encode("utf-16"), {"ann": "Gehe\u00efm"}),
    ("header, more columns, other order", b"name;password;user;groups\nAnn;Geheim;ann;x,y\n",
     {"ann": "Geheim"}),
]
