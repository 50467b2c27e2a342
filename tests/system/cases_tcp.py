"""TCP flows: acceptance 2 of the main job."""
import socket
import shutil
import subprocess
import time

import lab
import servers
from trial import case

GIB = 1 << 30
MIB = 1 << 20
PASTA_FIN = "Debian 12's loses what follows the guest's FIN"
PASTA_RST = "Debian 12's makes a reset a FIN, or drops data with it"
ANSWER = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nstop"


def upload(t, guest, dst, count):
    server = t.serve(servers.take)
    sent, digest, answer = guest.call("upload", dst, server.port, count)
    t.equal((sent, answer), (count, f"{count} {digest}\n"), "upload")


def download(t, guest, dst, count, **how):
    server = t.serve(servers.source)
    got = guest.call("download", dst, server.port, count, **how)
    t.equal(got, [count, servers.pattern_hash(count)], "download")


@case(quick=True)
def start_and_end(t):
    """The least: a guest comes up, and everything is gone after it."""
    with t.guest() as guest:
        t.check(guest.call("facts")["pid"] > 0, "no facts")


@case(quick=True)
def curl_v4_v6(t):
    """An unchanged client program as CMD."""
    body = b"hello from the internet\n"
    server = t.serve(servers.http(body))
    with t.guest() as guest:
        for host in (lab.LIVE4, f"[{lab.LIVE6}]"):
            url = f"http://{host}:{server.port}/"
            out = guest.call("run", ["curl", "-sS", "-m", "10", url])
            t.equal(out, [0, body.decode(), ""], url)


@case(quick=True)
def sizes(t):
    """Every border of a segment, a window and a buffer, both ways."""
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6, lab.SMALL4, lab.SMALL6):
            for count in (0, 1, 1447, 1448, 1449, 65535, 65536, 65537, 300001):
                upload(t, guest, dst, count)
                download(t, guest, dst, count)


@case(quick=True, timeout=120)
def bulk_v4(t):
    count = t.scale(GIB, 64 * MIB)
    with t.guest() as guest:
        start = time.monotonic()
        upload(t, guest, lab.LIVE4, count)
        middle = time.monotonic()
        download(t, guest, lab.LIVE4, count)
        end = time.monotonic()
    t.note(f"up {count * 8 / (middle - start) / 1e9:.1f} down "
           f"{count * 8 / (end - middle) / 1e9:.1f} Gbit/s with hashing")


@case(timeout=180)
def bulk_v6(t):
    with t.guest() as guest:
        upload(t, guest, lab.LIVE6, GIB)
        download(t, guest, lab.LIVE6, GIB)


@case(timeout=180)
def bulk_mtu_1500(t):
    with t.guest(mtu=1500) as guest:
        upload(t, guest, lab.SMALL4, GIB // 4)
        download(t, guest, lab.SMALL4, GIB // 4)


@case(timeout=120)
def bulk_mtu_1280(t):
    with t.guest(mtu=1280) as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            upload(t, guest, dst, 64 * MIB)
            download(t, guest, dst, 64 * MIB)


@case(quick=True, timeout=180, differs={"pasta": PASTA_FIN})
def bulk_both_ways(t):
    """Both directions of one connection at once."""
    count = t.scale(GIB, 64 * MIB)
    server = t.serve(servers.both)
    with t.guest() as guest:
        got, digest, sent = guest.call("both", lab.LIVE4, server.port, count)
    t.equal((got, digest), (count, servers.pattern_hash(count)), "down")
    t.equal(server.next_end().data, (count, sent), "up")


@case(timeout=180)
def bulk_two_connections(t):
    """Up on one connection and down on another, at once."""
    up, down = t.serve(servers.take), t.serve(servers.source)
    with t.guest() as guest:
        first = guest.start("upload", lab.LIVE4, up.port, GIB)
        second = guest.start("download", lab.LIVE6, down.port, GIB)
        _, digest, answer = guest.finish(first)
        t.equal(answer, f"{GIB} {digest}\n", "up")
        t.equal(guest.finish(second), [GIB, servers.pattern_hash(GIB)], "down")


@case(quick=True, timeout=120)
def many_in_sequence(t):
    """No slowdown from closed connections, and nothing of them is left."""
    count = t.scale(10000, 500)
    server = t.serve(servers.echo)
    with t.guest() as guest:
        # The first ones warm the caches.
        guest.call("sequence", lab.LIVE4, server.port, 50)
        times = guest.call("sequence", lab.LIVE4, server.port, count)
    tenth = count // 10
    first = sorted(times[:tenth])[tenth // 2]
    last = sorted(times[-tenth:])[tenth // 2]
    t.check(last < 2 * first + 0.0005, f"median {first * 1e6:.0f} us at first, "
            f"{last * 1e6:.0f} us in the end")
    t.note(f"{count / sum(times):.0f}/s, median {first * 1e6:.0f} then "
           f"{last * 1e6:.0f} us")


@case(quick=True, timeout=90)
def many_at_once(t):
    count = t.scale(1000, 300)
    server = t.serve(servers.echo)
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            t.equal(guest.call("at_once", dst, server.port, count), {}, dst)
    t.equal(len(server.log), 2 * count, "accepted")


@case(quick=True, timeout=90)
def slow_reader(t):
    """Back-pressure: a guest with a small window that sleeps."""
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            download(t, guest, dst, 3000000, rcvbuf=8192, pause=0.002,
                     pause_below=1500000)


@case(timeout=200)
def reader_pauses(t):
    """The server has said all and is gone, and the guest has ended its half; it
    reads on after 40 s, when probes are further apart than lwIP's patience."""
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            download(t, guest, dst, 200000, rcvbuf=4096, sleep=40, shut=True)


@case(timeout=90)
def slow_server(t):
    """The other way round: the server sleeps, the guest is held back."""
    def slow(connection):
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        time.sleep(2)
        return servers.take(connection)
    server = t.serve(slow, rcvbuf=8192)
    with t.guest() as guest:
        sent, digest, answer = guest.call("upload", lab.LIVE4, server.port,
                                          16 * MIB)
    t.equal(answer, f"{sent} {digest}\n")


@case(quick=True, differs={"pasta": PASTA_FIN})
def half_close(t):
    """The guest ends first; 3 MB come back after its FIN."""
    def answer(connection):
        count, digest = servers.drain(connection.sock)
        for piece in servers.pattern(3000000):
            connection.sock.sendall(piece)
        return count, digest
    server = t.serve(answer)
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            _, _, text = guest.call("upload", dst, server.port, 100000,
                                    announce=False)
            t.equal(len(text), 3000000, dst)
            t.equal(server.next_end().data[0], 100000, dst)


@case(quick=True)
def server_ends_first(t):
    """The server ends first and still takes all the guest has to say."""
    def half(connection):
        connection.sock.sendall(b"goodbye")
        connection.sock.shutdown(socket.SHUT_WR)
        return servers.drain(connection.sock)[0]
    server = t.serve(half)
    with t.guest() as guest:
        text = guest.call("after_fin", lab.LIVE4, server.port, 2000000)
    t.equal(text, "goodbye")
    t.equal(server.next_end().data, 2000000)


@case(quick=True)
def early_answer_and_reset(t):
    """An answer that arrives while the guest still sends, then a reset."""
    server = t.serve(servers.early_answer(ANSWER))
    with t.guest() as guest:
        results = guest.call("reads", lab.LIVE4, server.port, 40, send=8 * MIB)
    whole = [r for r in results if r["text"] == ANSWER.decode()]
    t.equal(len(whole), 40, "answers")
    cut = [r for r in results
           if r["send"] == "ok" and r["end"] == "fin"]
    t.equal(len(cut), 0, "guests that saw no reset")


@case(quick=True)
def closes_with_unread(t):
    """400 KB sent and closed before the guest reads the first byte."""
    count = 400 * 1024
    server = t.serve(servers.source)
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            got = guest.call("download", dst, server.port, count, sleep=1.0)
            t.equal(got, [count, servers.pattern_hash(count)], dst)


@case(quick=True)
def answer_and_close(t):
    """A server that has answered and closed before anybody asked."""
    server = t.serve(servers.greet(b"220 hello\r\n"))
    with t.guest() as guest:
        results = guest.call("reads", lab.LIVE4, server.port, 40)
    t.equal([r["text"] for r in results], ["220 hello\r\n"] * 40)
    t.equal({r["end"] for r in results}, {"fin"})


@case(quick=True, differs={"pasta": PASTA_RST})
def guest_reset_reaches_host(t):
    server = t.serve(servers.wait_error)
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            guest.call("abort", dst, server.port)
            t.equal(server.next_end(5).data, "reset", dst)


@case(quick=True, differs={"pasta": PASTA_RST})
def host_reset_reaches_guest(t):
    """After all the data that the server's kernel had acknowledged."""
    count = 200000
    server = t.serve(servers.send_then_reset(count))
    with t.guest() as guest:
        for dst in (lab.LIVE4, lab.LIVE6):
            got = guest.call("read", dst, server.port, sleep=0.5)
            t.equal((got["count"], got["end"]), (count, "ECONNRESET"), dst)


@case(quick=True, differs={"pasta": "the server's FIN comes late"})
def same_port_again(t):
    """A local port is used again at once; the server had closed first."""
    server = t.serve(servers.greet(b"hi"))
    with t.guest() as guest:
        results = guest.call("same_port", lab.LIVE4, server.port, 33333, 5)
    t.equal([r[0] for r in results], ["ok"] * 5)
    t.equal([r[1] for r in results], [2] * 5)


@case(timeout=60)
def idle_then_used(t):
    """A quiet connection is still there 15 s later."""
    server = t.serve(servers.echo)
    with t.guest() as guest:
        t.equal(guest.call("pause_echo", lab.LIVE4, server.port, 15), "ab")


@case(timeout=90, gateways=("sallyport",))
def iperf_many_streams(t):
    """Eight streams of another program, both ways."""
    if not shutil.which("iperf3"):
        t.skip("no iperf3")
    with t.lab.internet:
        process = subprocess.Popen(["iperf3", "-s", "-p", "5201"],
                                   stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.3)
        with t.guest() as guest:
            for extra in ([], ["-R"], ["--bidir"]):
                status, _, err = guest.call("run", [
                    "iperf3", "-c", lab.LIVE4, "-p", "5201", "-P", "8", "-t",
                    "3", *extra])
                t.equal(status, 0, f"iperf3 {extra}: {err}")
    finally:
        process.kill()
        process.wait()
