"""Neighbours: what one guest, or a client of its link, leaves or uses up does not
hang another."""
import socket
import struct
import time

import servers
import stream
from cases_stream import works
from trial import case


# ---- descriptors that a stranger left ------------------------------------------------

class Slow:
    """A connection whose close(2) takes an hour: its peer does not read."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.sock = socket.create_connection(server.getsockname())
            self.peer, _ = server.accept()
        self.sock.setblocking(False)
        try:
            while self.sock.send(b"x" * 65536):
                pass
        except BlockingIOError:
            pass
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 3600))

    def leave_with(self, client):
        """In the client's queue, as the last copy. False: the kernel does not let us
        (Linux 6.16, SO_PASSRIGHTS), or it was turned away already."""
        try:
            socket.send_fds(client, [b"?"], [self.sock.fileno()])
            return True
        except OSError:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
            return False
        finally:
            self.sock.close()


@case(quick=True, gateways=("sallyport",))
def stream_strangers(t):
    """Clients that leave such a connection in the link's queue, one that is served
    and some that are turned away: the guest, and the next client, notice nothing."""
    server = t.serve(servers.echo)
    with stream.serve(t) as link:
        guest = t.keep(link.attach())
        works(t, guest, server)
        slow = [Slow() for _ in range(6)]
        for one in slow[1:]:
            with socket.socket(socket.AF_UNIX) as second:
                second.connect(link.sock)
                one.leave_with(second)
        begun = time.monotonic()
        with socket.socket(socket.AF_UNIX) as second:
            second.settimeout(2)
            second.connect(link.sock)
            t.equal(second.recv(1), b"", "a further client is turned away")
        works(t, guest, server)
        took = time.monotonic() - begun
        t.check(took < 1, f"turned away, and a round trip, after {took:.1f} s")
        guest.raw(bytes(4))             # ends its frame, and the rest is not read
        left = slow[0].leave_with(guest.sock)
        guest.close()
        begun = time.monotonic()
        works(t, t.keep(link.attach()), server)
        took = time.monotonic() - begun
        t.check(took < 1.5, f"the next client is served after {took:.1f} s")
        t.note("left in the queue" if left else "not taken")
