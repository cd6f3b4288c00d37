"""What the runs come to: a table, and what is demanded of mailhaul beside what was reached."""

import json
import os
import platform
import shutil
import subprocess
import time
from collections import namedtuple
from statistics import median

from bench.corpora import CORPORA
from bench.programs import PEERS, PUMPS, Run
from lib.bench import Failure

# which: "copy", or "again" for a pass that finds nothing new; runs: programs.Run of each round
Row = namedtuple("Row", "corpus count bytes rtt program which runs")
# corpora, rtts: where it holds (None: anywhere); modes: see mode(); figure(measured, corpus, rtt)
# gives a number, or None where that was not measured; least: the limit is one from below
Demand = namedtuple("Demand", "what corpora rtts modes figure least limit")


def took(program, run):
    """A floor is what the pump timed; everything else is paid for from its start to its end."""
    return run.seconds if program in ("read", "write") else run.wall


class Measured:
    """The rows, by what they are of."""

    def __init__(self, rows):
        self.rows = {(r.corpus, r.rtt, r.program, r.which): r for r in rows}

    def times(self, corpus, rtt, program, which="copy"):
        row = self.rows.get((corpus, rtt, program, which))
        return [took(program, run) for run in row.runs] if row else []

    def best(self, corpus, rtt, names, which="copy"):
        """The one of these programs with the least median; None when none ran."""
        there = [n for n in names if self.times(corpus, rtt, n, which)]
        return min(there, key=lambda n: median(self.times(corpus, rtt, n, which)), default=None)

    def ratio(self, corpus, rtt, over, under, which="copy"):
        """The median of the rounds' time of `over` / time of `under`; None when one did not run."""
        pairs = zip(self.times(corpus, rtt, over, which), self.times(corpus, rtt, under, which))
        ratios = [a / b for a, b in pairs]
        return median(ratios) if ratios else None

    def slower_floor(self, corpus, rtt):
        """The slower side alone."""
        there = [n for n in ("read", "write") if self.times(corpus, rtt, n)]
        return max(there, key=lambda n: median(self.times(corpus, rtt, n))) \
            if len(there) == 2 else None


def beside(names, which="copy"):
    """How many times mailhaul's time the best of these programs takes."""
    def figure(measured, corpus, rtt):
        best = measured.best(corpus, rtt, names, which)
        return measured.ratio(corpus, rtt, best, "mailhaul", which)
    return figure


def over_floor(names):
    """How many times the floor's time the best of these programs takes."""
    def figure(measured, corpus, rtt):
        return measured.ratio(corpus, rtt, measured.best(corpus, rtt, names),
                              measured.slower_floor(corpus, rtt))
    return figure


def round_trips(measured, corpus, rtt, program="mailhaul"):
    """Of a second pass: what it takes more at this delay than without one; of the least times, since
    all that is not a round trip only adds."""
    near = measured.times(corpus, 0, program, "again")
    far = measured.times(corpus, rtt, program, "again")
    return (min(far) - min(near)) / (rtt / 1000) if near and far and rtt else None


def cpu_us(measured, corpus, rtt):
    row = measured.rows.get((corpus, rtt, "mailhaul", "copy"))
    return median(r.cpu for r in row.runs) / row.count * 1e6 if row else None


def peak_mib(measured, corpus, rtt):
    found = [run.peak_kb for which in ("copy", "again")
             for row in [measured.rows.get((corpus, rtt, "mailhaul", which))] if row
             for run in row.runs]
    return max(found) / 1024 if found else None


def memory_growth(measured, corpus, rtt):
    """Beside T, which is the same mail, a fifth of it."""
    fifth, whole = peak_mib(measured, "T", rtt), peak_mib(measured, corpus, rtt)
    return whole / fifth if fifth and whole else None


def growths(measured, corpus, rtt, program, what):
    """What the last tenth took, divided by what the first did, of each round."""
    row = measured.rows.get((corpus, rtt, program, "copy"))
    return [run.tenths[what][-1] / run.tenths[what][0] for run in row.runs if run.tenths] \
        if row else []


def cpu_growth(measured, corpus, rtt):
    found = growths(measured, corpus, rtt, "mailhaul", "cpu")
    return median(found) if found else None


def wall_growth(measured, corpus, rtt):
    """Beside that of the pump, since servers grow slower, too."""
    pump = measured.best(corpus, rtt, PUMPS)
    found = [a / b for a, b in zip(growths(measured, corpus, rtt, "mailhaul", "wall"),
                                   growths(measured, corpus, rtt, pump, "wall"))]
    return median(found) if found else None


def seconds_again(measured, corpus, rtt):
    times = measured.times(corpus, rtt, "mailhaul", "again")
    return median(times) if times else None


PUMP, MBSYNC, DOVEADM, FLOOR = ("the best pump's time / mailhaul's", "mbsync's time / mailhaul's",
                                "doveadm backup's time / mailhaul's", "the slower side alone")
AGAIN = ", nothing new"
OURS_TO_FLOOR = "mailhaul's time / " + FLOOR
PUMP_TO_FLOOR = "the best pump's time / " + FLOOR
COPIES = ("S", "M", "T", "H")  # of one mailbox
SECOND = ("UM", "UT")  # passes over one that was copied
MANY_FOLDERS = ("S", "M", "UM")  # where a round trip or several for each of them would cost
DEMANDS = (
    Demand(PUMP, "SM", (0,), ("plain",), beside(PUMPS), True, 0.7),
    Demand(PUMP, "SM", (20, 50), ("plain",), beside(PUMPS), True, 0.9),
    Demand(OURS_TO_FLOOR, "SM", (50,), ("plain",), over_floor(["mailhaul"]), False, 1.7),
    Demand(MBSYNC, "M", (0,), ("plain",), beside(["mbsync"]), True, 3),
    Demand(MBSYNC, "M", (20,), ("plain",), beside(["mbsync"]), True, 5),
    Demand(MBSYNC, "M", (50,), ("plain",), beside(["mbsync"]), True, 10),
    Demand(DOVEADM, "SM", (20, 50), ("plain",), beside(["doveadm"]), True, 2),
    Demand(MBSYNC, "T", None, ("plain",), beside(["mbsync"]), True, 4),
    Demand(PUMP, "L", (0,), ("plain",), beside(PUMPS), True, 0.75),
    Demand(PUMP, "L", (20, 50), ("plain",), beside(PUMPS), True, 0.9),
    Demand(PUMP, "SM", None, ("tls",), beside(PUMPS), True, 0.8),
    Demand("round trips" + AGAIN, COPIES + SECOND, (20, 50), ("plain",), round_trips, False, 12),
    Demand(MBSYNC + AGAIN, MANY_FOLDERS, (20,), ("plain",), beside(["mbsync"], "again"), True, 5),
    Demand("seconds" + AGAIN, SECOND, None, ("plain",), seconds_again, False, 2),
    Demand(PUMP_TO_FLOOR, "M", (0,), ("plain",), over_floor(PUMPS), False, 1.4),
    Demand(PUMP_TO_FLOOR, "S", (0,), ("plain",), over_floor(PUMPS), False, 1.8),
    Demand(PUMP_TO_FLOOR, "SM", (50,), ("plain",), over_floor(PUMPS), False, 3.2),
    Demand(MBSYNC, "M", (0,), ("disk mdbox",), beside(["mbsync"]), True, 10),
    Demand(MBSYNC, "M", (0,), ("disk maildir",), beside(["mbsync"]), True, 2),
    Demand(MBSYNC, COPIES + ("L",), None, ("strip",), beside(["mbsync"]), True, 1),
    Demand("CPU, microseconds a message", "M", (0,), ("plain",), cpu_us, False, 25),
    Demand("CPU of the last tenth / of the first", "H", (0,), ("plain",), cpu_growth, False, 1.1),
    Demand("the same of wall time / that of the pump", "H", (0,), ("plain",), wall_growth, False,
           1),
    Demand("memory, H's / T's", "H", None, None, memory_growth, False, 1.1),
    Demand("memory, MiB", COPIES, None, None, peak_mib, False, 32),
    Demand("memory, MiB", SECOND, None, None, peak_mib, False, 48),
    Demand("memory, MiB", "L", None, None, peak_mib, False, 64),
)


def mode(about):
    """plain, tls, disk STORE, strip; anything else has no demands but those on memory."""
    options = about["options"]
    if options["disk"]:
        return "disk " + options["target_store"]
    if options["strip"]:
        return "strip"
    if options["target_store"] != "mdbox":
        return options["target_store"]
    return "tls" if options["tls"] else "plain"


def place(corpus):
    return list(CORPORA).index(corpus) if corpus in CORPORA else len(CORPORA)


def answers(rows, about):
    """(demand, corpus, rtt, figure, met) of each that was measured."""
    measured, found = Measured(rows), []
    places = sorted({(r.corpus, r.rtt) for r in rows}, key=lambda p: (place(p[0]), p[1]))
    for demand in DEMANDS:
        if demand.modes is not None and mode(about) not in demand.modes:
            continue
        for corpus, rtt in places:
            if corpus in demand.corpora and (demand.rtts is None or rtt in demand.rtts):
                figure = demand.figure(measured, corpus, rtt)
                if figure is not None:
                    met = figure >= demand.limit if demand.least else figure <= demand.limit
                    found.append((demand, corpus, rtt, figure, met))
    return found


HEAD = ("mail  rtt ms program  pass    wall s    min   msg/s    MB/s   CPU s  us/msg  peak MB"
        "  pump/x  peer/x")


def or_dash(figure):
    return "%7.2f" % figure if figure is not None else "      -"


def line(row, measured):
    times = [took(row.program, run) for run in row.runs]
    wall, cpu = median(times), median(run.cpu for run in row.runs)

    def against(names):
        return measured.ratio(row.corpus, row.rtt, measured.best(row.corpus, row.rtt, names,
                                                                row.which), row.program, row.which)
    moved = ("%7.0f %7.1f" % (row.count / wall, row.bytes / wall / 1e6) if row.which == "copy"
             else "      -       -")
    return "%-5s %6g %-8s %-6s %7.3f %6.3f %s %7.3f %7.1f %8.1f %s %s" % (
        row.corpus, row.rtt, row.program, row.which, wall, min(times), moved, cpu,
        cpu / row.count * 1e6, median(run.peak_kb for run in row.runs) / 1024, or_dash(
            against(PUMPS)), or_dash(against(PEERS)))


def show(rows, notes, about):
    measured, options = Measured(rows), about["options"]
    rounds = sorted({len(row.runs) for row in rows})
    print("%s, commit %s; %s, %d cores, %.0f GB; load before %s; %s; %s rounds" % (
        about["date"], about["commit"], about["cpu"], about["cores"], about["memory_gb"],
        " ".join("%.1f" % n for n in about["load_before"]), ", ".join(about["versions"]),
        " or ".join(map(str, rounds))))
    print("target %s%s%s%s; a row is the median of its rounds; pump/x, peer/x: the best pump's and "
          "the best peer's time / this one's" % (
              options["target_store"], ", TLS" if options["tls"] else "", ", synced to a disk"
              if options["disk"] else "", ", without " + " ".join(options["strip"])
              if options["strip"] else ""))
    print(HEAD)
    for row in sorted(rows, key=lambda r: (place(r.corpus), r.rtt, r.which == "again")):
        print(line(row, measured))
    show_trips(measured)
    show_tenths(rows)
    found = answers(rows, about)
    for demand, corpus, rtt, figure, met in found:
        print("%-8s %-2s %3g ms  %-45s %8.2f  (%s %g)" % (
            "met" if met else "NOT MET", corpus, rtt, demand.what, figure,
            "at least" if demand.least else "at most", demand.limit))
    if found:
        print("%d of %d demands met" % (sum(f[-1] for f in found), len(found)))
    for note in notes:
        print("note: " + note)


def show_trips(measured):
    for corpus, rtt, program, which in measured.rows:
        trips = round_trips(measured, corpus, rtt, program) if which == "again" else None
        if trips is not None:
            print("%s, %s: a second pass takes %.1f round trips (from %g ms)" % (
                corpus, program, trips, rtt))


TENTHS = (  # what, the unit it is shown in, what it is in that unit
    ("cpu", "us/msg", lambda row, seconds: seconds / row.count * 1e7),
    ("wall", "msg/ms", lambda row, seconds: row.count / seconds / 1e4),
    ("peak_kb", "MB", lambda row, kb: kb / 1024))


def show_tenths(rows):
    """Three lines for each program. Before the first tenth and after the last: seconds, and MB."""
    told = [(row, [run.tenths for run in row.runs if run.tenths]) for row in rows]
    if any(tenths for _, tenths in told):
        print("mail  rtt ms program  tenth " + "".join("%6d" % n for n in range(1, 11)) +
              "  last/1st  before   after")
    for row, tenths in told:
        for what, unit, figure in TENTHS if tenths else ():
            each = [figure(row, median(t[what][n] for t in tenths)) for n in range(10)]
            ends = [median(t[end][what] for t in tenths) / (1024 if what == "peak_kb" else 1)
                    for end in ("before", "after")]
            print("%-5s %6g %-8s %-6s%s %9.2f %7.3f %7.3f" % (
                row.corpus, row.rtt, row.program, unit, "".join("%6.1f" % f for f in each),
                median(t[what][-1] / t[what][0] for t in tenths), *ends))


def first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=10)
    except OSError:
        return ""
    return done.stdout.split("\n")[0] if done.returncode == 0 else ""


def commit():
    here = os.path.dirname(os.path.abspath(__file__))
    name = first_line("git", "-C", here, "rev-parse", "--short", "HEAD")
    changed = first_line("git", "-C", here, "status", "--porcelain", "--untracked-files=no")
    return (name or "unknown") + (" and changes" if changed else "")


def cpu_name():
    with open("/proc/cpuinfo") as f:
        for text in f:
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    return platform.machine()


def about(args, began, load_before):
    """All that a figure depends on and that the machine can tell."""
    versions = ["Dovecot " + first_line("/usr/sbin/dovecot", "--version").split(" ")[0]]
    if shutil.which("mbsync"):
        versions.append(first_line("mbsync", "--version"))
    return {"date": time.strftime("%Y-%m-%d %H:%M", time.gmtime(began)), "commit": commit(),
            "cpu": cpu_name(), "cores": os.cpu_count(), "kernel": platform.release(),
            "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
            "load_before": load_before, "versions": versions, "seconds": time.time() - began,
            "options": vars(args)}


def write(path, rows, notes, about):
    """All raw numbers."""
    with open(path, "w") as f:
        json.dump({"about": about, "notes": notes, "rows": [
            dict(row._asdict(), runs=[run._asdict() for run in row.runs]) for row in rows],
            "demands": [{"what": d.what, "corpus": corpus, "rtt": rtt, "figure": figure,
                         "at_least" if d.least else "at_most": d.limit, "met": met}
                        for d, corpus, rtt, figure, met in answers(rows, about)]}, f, indent=1)
        f.write("\n")


def read(paths):
    """(rows, notes, about) of several files of write(), which must be of one kind."""
    rows, notes, first = {}, [], None
    for path in paths:
        with open(path) as f:
            data = json.load(f)
        first = first or data["about"]
        if mode(data["about"]) != mode(first):
            raise Failure("%s is %s, not %s" % (path, mode(data["about"]), mode(first)))
        notes += [note for note in data["notes"] if note not in notes]
        for raw in data["rows"]:
            row = Row(**dict(raw, runs=[Run(**run) for run in raw["runs"]]))
            rows.setdefault((row.corpus, row.rtt, row.program, row.which),
                            row._replace(runs=[])).runs.extend(row.runs)
    return list(rows.values()), notes, first
