#!/usr/bin/python3
"""The bench: Sallyport beside pasta, slirp4netns and the plain veth path.

Everything is pinned to one CPU, where figures repeat within a few percent
(unpinned they differ by a third). Contenders take turns, forwards and then
backwards; the first turn is dropped; the figure is the median, the ratio the
median of the ratios within a turn. CPU is that of all of a gateway's processes.

    bench.py --bindir BUILD [--quick] [--only GLOB] [--pairs N] [--cpu N]
"""
import argparse
import fnmatch
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM = os.path.join(os.path.dirname(HERE), "system")
sys.path.insert(0, SYSTEM)

import dnswire  # noqa: E402
import gateway  # noqa: E402
import lab as lablib  # noqa: E402
import names_lab  # noqa: E402
import nspace  # noqa: E402
import tls_lab  # noqa: E402
import trial  # noqa: E402

PORT = 7777
FLOWS_FEW, FLOWS_MANY = 10, 8000
OPEN_TIMEOUT = 30                       # to open that many
PAUSE = 0.002                           # s, between two first flights
LINE = b"x" * 700 + b"\n"               # as long as a flow.open


class Slirp(gateway.Direct):
    """slirp4netns on a namespace that we made."""

    programs = ("slirp4netns",)
    name = "slirp4netns"
    process = None

    def wire(self):
        fd = f"/proc/{os.getpid()}/fd/{self.ns.fd}"
        with self.ns:
            lablib.ip_batch("link set lo up\n")
        self.process = subprocess.Popen(
            ["slirp4netns", "--configure", f"--mtu={self.mtu}",
             "--disable-dns", "--netns-type=path", fd, "tap0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

        def configured():
            with self.ns:
                return "10.83.80.100" in subprocess.run(
                    ["ip", "-4", "addr"], capture_output=True, text=True,
                    check=True).stdout
        if not lablib.wait_until(configured, 5):
            raise gateway.GuestError("slirp4netns did not configure its tap")

    def cleanup(self, good):
        self.process.terminate()
        self.process.wait()
        self.ns.close()


class Durable(gateway.Sallyport):
    """Sallyport with the log on a real disk, as in use."""

    rules, more = gateway.ALLOW_ALL, ""

    def __init__(self, bench, mode="before-data", **options):
        log = os.path.join(bench.options.log_dir, f"bench-{os.getpid()}")
        os.makedirs(log, mode=0o700, exist_ok=True)
        bench.logs.append(log)
        self.mode = mode
        text = gateway.policy_text(
            self.rules, head=names_lab.LIMITS
            + f"audit {{ durable {mode} }}\n" + self.more)
        super().__init__(bench, policy=text, args=["-q"], audit=False,
                         fds=False, log=os.path.join(log, f"{len(bench.logs)}.jsonl"),
                         **options)
        self.own = []

    def __enter__(self):
        before = set(lablib.processes())
        guest = super().__enter__()
        self.own = [p for p in self.pids() if p not in before]
        return guest


class Named(Durable):
    """The same with one rule, by name: `verify sni`."""

    rules = (f'allow to name "{names_lab.API}" port tcp {PORT}\n')
    more = (f"resolver {{ upstream {names_lab.FORWARDER4} pin min 1h max 1h "
            "}\n")


class Bench:
    """Stands in for a Trial: what a gateway needs to know."""

    gateway = None
    notes = ()

    def __init__(self, options, lab, bindir):
        self.options = options
        self.lab = lab
        self.bindir = bindir
        self.logs = []
        self.servers = []
        self.flood = os.path.join(bindir, "flood")

    def contenders(self, mtu, names):
        kinds = {"sallyport": Durable, "pasta": gateway.Pasta,
                 "slirp4netns": Slirp, "veth": gateway.Direct,
                 "sallyport-async": Durable, "sallyport-names": Named,
                 "sallyport-names-async": Named}
        found = {}
        for name in names:
            how = {"mode": "async"} if name.endswith("async") else {}
            found[name] = kinds[name](self, mtu=mtu, **how)
        return found

    def validate(self, *_):
        """The bench's logs are not judged."""

    # what names_lab.World wants of a case

    keep = property(lambda self: self.servers.append)
    reference = staticmethod(trial.Trial.reference)

    @staticmethod
    def fail(why):
        raise gateway.GuestError(why)

    skip = fail


class Meter:
    """CPU time of a gateway's processes: those that are its alone."""

    def __init__(self, contender):
        self.pids = list(getattr(contender, "own", [])) or contender.pids()
        self.start = self.total()

    def total(self):
        return sum(lablib.cpu_ns(pid) for pid in self.pids)

    def seconds(self):
        return (self.total() - self.start) / 1e9


class Flood:
    """One client run inside a guest, with the gateway's CPU time beside it."""

    def __init__(self, bench, contender, mode, *args):
        self.bench, self.contender = bench, contender
        self.argv = [bench.flood, mode, lablib.LIVE4, str(PORT),
                     *(str(a) for a in args)]

    def run(self):
        """(count, seconds, CPU seconds)."""
        meter = Meter(self.contender)
        status, out, err = self.contender.guest.call("run", self.argv)
        if status != 0:
            raise gateway.GuestError(err.strip())
        count, seconds = out.split()[-2:]
        return int(count), float(seconds), meter.seconds()


# ---- the figures --------------------------------------------------------------

def throughput(mode):
    def measure(bench, contender):
        count, seconds, cpu = Flood(bench, contender, mode,
                                    bench.options.seconds).run()
        return {"Gbit/s": count * 8 / seconds / 1e9,
                "CPU-s/GB": cpu / (count / 1e9)}
    return measure


def transactions(mode, *more):
    def measure(bench, contender):
        count, seconds, cpu = Flood(bench, contender, mode,
                                    bench.options.seconds, *more).run()
        return {"per s": count / seconds, "CPU-us": cpu / count * 1e6}
    return measure


def request_response(flows, active):
    """One byte there and back; the connections are open before the clock starts."""
    def measure(bench, contender):
        guest = contender.guest
        handle = guest.start("begin", [
            bench.flood, "rr", lablib.LIVE4, str(PORT),
            str(bench.options.seconds), str(flows), str(active)])
        first = guest.finish(handle, OPEN_TIMEOUT)
        meter = Meter(contender)
        line = guest.call("next_line")
        cpu = meter.seconds()
        if first != "open\n" or len(line.split()) != 2:
            raise gateway.GuestError(f"{first.strip()} {line.strip()}")
        count, seconds = line.split()
        guest.call("end")
        return {"per s": int(count) / float(seconds),
                "CPU-us": cpu / int(count) * 1e6}
    return measure


def idle_memory(bench, contender):
    """RSS of all processes per idle flow."""
    pids = list(getattr(contender, "own", [])) or contender.pids()
    if not pids:
        return {}
    flows = bench.options.idle
    before = sum(lablib.rss(p) for p in pids)
    contender.guest.call("begin", [bench.flood, "hold", lablib.LIVE4,
                                   str(PORT), str(flows)],
                         timeout=OPEN_TIMEOUT)
    time.sleep(0.3)
    grown = sum(lablib.rss(p) for p in pids) - before
    contender.guest.call("end")
    time.sleep(0.3)
    return {"kB per flow": grown / flows / 1024}


def name_latency(bench, contender):
    """A name that every cache on the way has: one question after another."""
    server = gateway.GATEWAY4 if isinstance(contender, Named) \
        else names_lab.FORWARDER4
    times = contender.guest.call("dns_times", server,
                                 dnswire.query(names_lab.API).hex(),
                                 int(1000 * bench.options.seconds))
    return {"us": statistics.median(times) * 1e6}


def commit_latency(directory, count):
    """What the disk takes to keep a line, at the same pace, with nobody between."""
    path, times = os.path.join(directory, "commit"), []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            time.sleep(PAUSE)
            start = time.monotonic()
            os.write(fd, LINE)
            os.fdatasync(fd)
            times.append(time.monotonic() - start)
    finally:
        os.close(fd)
        os.unlink(path)
    return statistics.median(times)


def flight_latency(bench, contender):
    """From connect() to the first byte that comes back of a ClientHello.

    A little apart: what the end of the last connection costs is crr's to tell.
    """
    if isinstance(contender, Named):
        contender.guest.call("dns_times", gateway.GATEWAY4,
                             dnswire.query(names_lab.API).hex(), 1)
    flight = tls_lab.records(tls_lab.hello(tls_lab.sni(names_lab.API)))
    times = contender.guest.call("first_byte", names_lab.SITE4, PORT,
                                 flight.hex(),
                                 int(500 * bench.options.seconds), PAUSE)
    found = {"us": statistics.median(times) * 1e6}
    if getattr(contender, "mode", "") == "before-data":
        found["disk-us"] = commit_latency(bench.options.log_dir, 200) * 1e6
    return found


PEERS = ("sallyport", "pasta", "slirp4netns", "veth")
# name, MTU, measure, contenders, whether one turn is enough
FIGURES = (
    ("up-1500", 1500, throughput("up"), PEERS, False),
    ("down-1500", 1500, throughput("down"), PEERS, False),
    ("up-65520", 65520, throughput("up"), PEERS, False),
    ("down-65520", 65520, throughput("down"), PEERS, False),
    ("rr", 65520, request_response(1, 1), PEERS, False),
    ("udp-rr", 65520, transactions("udp"), PEERS, False),
    ("crr", 65520, transactions("crr"), PEERS + ("sallyport-async",), False),
    # Connections that come about together share a commit.
    ("crr-32", 65520, transactions("crr", 32), PEERS + ("sallyport-async",),
     False),
    ("rr-10-flows", 65520, request_response(FLOWS_FEW, FLOWS_FEW), PEERS, False),
    # The same ten, among 8 000 that are open; and all of the 8 000 in turn, where
    # every turn meets cold caches. slirp4netns does not get so far.
    ("rr-8000-open", 65520, request_response(FLOWS_MANY, FLOWS_FEW),
     ("sallyport", "pasta", "veth"), False),
    ("rr-8000-turns", 65520, request_response(FLOWS_MANY, FLOWS_MANY),
     ("sallyport", "pasta", "veth"), False),
    ("name-cached", 65520, name_latency, ("sallyport-names", "veth"), False),
    # With and without a name rule to verify, and without waiting for the disk;
    # the veth path is the direct one.
    ("tls-first-byte", 65520, flight_latency,
     ("sallyport-names", "sallyport-names-async", "sallyport", "veth"), False),
    ("idle-flow", 65520, idle_memory, PEERS[:3], True),
)


def rounds(bench, contenders, measure, once):
    """{name: [values per turn]}: A B C, C B A, A B C, ... less the first."""
    names, found = list(contenders), {name: [] for name in contenders}
    out = set()
    turns = 1 if once else bench.options.pairs + 1
    for turn in range(turns):
        for name in names if turn % 2 == 0 else reversed(names):
            try:
                value = {} if name in out else measure(bench, contenders[name])
            except gateway.GuestError as error:
                print(f"# {name} is out of this figure: {error}", flush=True)
                contenders[name].guest.call("abandon")
                out.add(name)
                value = {}
            if turn > 0 or once:
                found[name].append(value)
    return found


def median(values):
    return statistics.median(values) if values else float("nan")


def report(figure, found, summary):
    """One line per contender and unit: median, and the ratio to ours."""
    units = next((v.keys() for values in found.values() for v in values if v),
                 ())
    ours = next(iter(found))
    for unit in units:
        for name, values in found.items():
            mine = [v[unit] for v in values if unit in v]
            # A plain path has no gateway whose CPU could be counted.
            if not mine or (unit.startswith("CPU") and not any(mine)):
                continue
            pairs = [a[unit] / b[unit] for a, b in zip(found[ours], values)
                     if a.get(unit) and b.get(unit)]
            spread = (max(mine) - min(mine)) / median(mine) * 100 \
                if median(mine) else 0
            ratio = f"{ours}/{name} {median(pairs):6.2f}" \
                if name != ours and pairs else ""
            print(f"{figure:14s} {name:21s} {median(mine):12.3f} {unit:11s}"
                  f" +-{spread / 2:3.0f}%  {ratio}", flush=True)
            summary[(figure, name, unit)] = median(mine)


def scaling(summary):
    """What 8 000 open flows cost a transaction of one of ten."""
    for name in PEERS:
        few = summary.get(("rr-10-flows", name, "CPU-us"))
        for figure in ("rr-8000-open", "rr-8000-turns"):
            many = summary.get((figure, name, "CPU-us"))
            if few and many:
                print(f"{figure:14s} {name:21s} {many / few:12.3f} "
                      "x the CPU of rr-10-flows")


def added(summary):
    """What we add to a path without a gateway."""
    for figure in ("name-cached", "tls-first-byte"):
        direct = summary.get((figure, "veth", "us"))
        for name in ("sallyport-names", "sallyport-names-async", "sallyport"):
            ours = summary.get((figure, name, "us"))
            disk = summary.get((figure, name, "disk-us"))
            if ours and direct:
                print(f"{figure:14s} {name:21s} {ours - direct:+7.1f} us "
                      "over veth" + (f", {ours - direct - disk:+.1f} us over "
                      "veth and the disk's own commit" if disk else ""))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bindir", default=".")
    parser.add_argument("--log-dir", default=".",
                        help="a directory on a real disk (default: here)")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--cpu", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", metavar="GLOB")
    parser.add_argument("--without", action="append", default=[],
                        metavar="CONTENDER")
    options = parser.parse_args()
    options.user = False
    options.log_dir = os.path.abspath(options.log_dir)
    if options.quick:
        options.pairs, options.seconds = 2, 0.5
    return options


def missing(bindir, without):
    import shutil
    found = list(without)
    if names_lab.missing():
        found += ["sallyport-names", "sallyport-names-async"]
    if not os.path.exists(os.path.join(bindir, "sallyport")):
        found += ["sallyport", "sallyport-async", "sallyport-names",
                  "sallyport-names-async"]
    return found + [n for n in ("pasta", "slirp4netns") if not
                    shutil.which(n)]


def start_server(bench):
    with bench.lab.internet:
        server = subprocess.Popen(
            [bench.flood, "serve", lablib.LIVE4, str(PORT)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    server.stdout.readline()


def measure_all(bench, absent):
    summary = {}
    for figure, mtu, measure, names, once in FIGURES:
        if bench.options.only and not any(
                fnmatch.fnmatch(figure, g) for g in bench.options.only):
            continue
        names = [n for n in names if n not in absent]
        contenders = bench.contenders(mtu, names)
        entered = []
        try:
            for contender in contenders.values():
                contender.__enter__()
                entered.append(contender)
            report(figure, rounds(bench, contenders, measure, once), summary)
        finally:
            for contender in reversed(entered):
                try:
                    contender.__exit__(None, None, None)
                except gateway.GuestError as error:
                    print(f"# {contender.name}: {error}", file=sys.stderr)
    scaling(summary)
    added(summary)


def main():
    options = arguments()
    bindir = os.path.abspath(options.bindir)
    if not os.path.exists(os.path.join(bindir, "flood")):
        print(f"no flood in {bindir}: make bench builds it", file=sys.stderr)
        return 2
    with open("/proc/loadavg", encoding="ascii") as file:
        load = float(file.read().split()[0])
    print(f"# load {load}, {options.pairs} pairs of {options.seconds} s, "
          f"everything on CPU {options.cpu}")
    if load > 1.5:
        print("# something else is running: do not believe the figures")
    try:
        scratch = lablib.scratch_dir([HERE, bindir, options.log_dir])
        nspace.enter(scratch)
        lab = lablib.Lab(scratch, False)
    except OSError as error:
        print(f"no lab on this machine: {error}", file=sys.stderr)
        return 77
    lablib.raise_limits()
    os.sched_setaffinity(0, {options.cpu})
    absent = missing(bindir, options.without)
    bench = Bench(options, lab, lab.install(bindir, [
        os.path.join(SYSTEM, "agent.py"), os.path.join(bindir, "flood")]))
    start_server(bench)
    try:
        if not names_lab.missing():
            names_lab.World(bench)
        measure_all(bench, absent)
    finally:
        import shutil
        for server in bench.servers:
            server.close()
        for log in bench.logs:
            shutil.rmtree(log, ignore_errors=True)
    return 0


if __name__ == "__main__":
    CODE = main()
    sys.stdout.flush()
    os._exit(CODE)
