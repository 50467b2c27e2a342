"""One guest makes another of the same user worse off, or sheds its own limits."""
import time

import gateway
import lab as lablib
import servers
import stream
from corpus import NoAttack, Program, allow, attack


def neighbour(a, place, server, **how):
    """Another run of the same user that connects once: what it says."""
    begun = time.monotonic()
    program = Program(a, place, "connect", dst=lablib.LIVE4, port=server.port,
                      log=place.path + "/log-b", **how)
    try:
        found = program.result(40)["gained"]
    except Exception as why:        # pylint: disable=broad-except
        return f"it does not run: {why}"
    if found != ["connected"]:
        return "its allowed connect fails"
    took = time.monotonic() - begun
    return f"its allowed connect takes {took:.0f} s" if took > 10 else None


def beside(a, name, count=1, policy=None, **how):
    """While `count` guests do `name`, another is served as before."""
    place = a.place(policy or allow(
        f"allow to net {lablib.LIVE4} port tcp {gateway.PORTS}\n"))
    server = a.t.serve(servers.sink)
    before = neighbour(a, place, server, **how)
    a.control(before is None, f"without an attack: {before}")
    programs = []
    for number in range(count):
        programs.append(Program(a, place, name, log=f"{place.path}/log-{number}",
                                **how))
        try:
            programs[-1].ready()
        except NoAttack as why:
            a.gained(f"the second guest does not start: {why}")
            programs.pop()
    harm = neighbour(a, place, server, **how)
    if harm:
        a.gained(f"of a neighbour: {harm}")
    for program in programs:
        program.go()
        program.end()


@attack("H4a", quick=True)
def descriptors_in_flight(a):
    """All that one user may have on the way; another's GRANT has to go too."""
    beside(a, "hoard")


@attack("H4a")
def descriptors_in_flight_of_two(a):
    """Two guests together."""
    beside(a, "hoard", 2)


@attack("H4")
def processes_of_one_user(a):
    """As many processes as the user may have."""
    if not a.lab.user:
        a.t.skip("the kernel does not count root's")
    beside(a, "processes", prefix=["prlimit", "--nproc=400:400"])


@attack("M6", quick=True)
def limits_by_hanging_up(a):
    """Twenty clients one after another: one guest's rate and one guest's flows."""
    server = a.t.serve(None)
    text = gateway.policy_text(
        head="limits slow { conns 1000 pending 100 rate 5/s burst 5 }\n",
        tenant="limits slow\n")
    with stream.serve(a.t, policy=text) as link:
        begun = time.monotonic()
        for _ in range(20):
            guest = link.attach()
            peers = [guest.open(lablib.LIVE4, server.port) for _ in range(5)]
            for peer in peers:
                peer.segment(2, options=peer.options)
            for peer in peers:
                peer.next(0.05)
            guest.close()
        took = time.monotonic() - begun
        lablib.wait_until(lambda: len(server.log) > 10 + 5 * took, 0.5)
        count, most = len(server.log), 10 + 5 * took
    a.control(count >= 1, "not one flow")
    if count > most:
        a.gained(f"{count} flows in {took:.1f} s at a rate of 5/s")


@attack("M6")
def names_by_hanging_up(a):
    """The budget of names that carry data, with a new client for each three."""
    from records import Silent, UPSTREAM
    import dnswire
    upstream = Silent(a)
    text = gateway.policy_text(
        'allow to name "*.wild.example.net" port tcp 443\n',
        head=f"resolver {{ upstream {UPSTREAM} }}\n"
        "limits few { names 3 per 1h }\n", tenant="limits few\n")
    with stream.serve(a.t, policy=text) as link:
        for number in range(10):
            guest = link.attach()
            for n in range(3):
                guest.send_udp(guest.gate[4], 5000 + n, 53, dnswire.query(
                    f"secret-{number}-{n}.wild.example.net", ident=n + 1))
            time.sleep(0.1)
            guest.close()
        time.sleep(0.5)
    got = {n for n in upstream.names if n.startswith("secret-")}
    a.control(got, "no name came to the upstream")
    if len(got) > 3:
        a.gained(f"{len(got)} names with a budget of 3")
