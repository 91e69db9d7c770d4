#!/usr/bin/env python3
"""Peers of heaptaped that mean no good.

hostile.py capture SOCKET FILE    listen at SOCKET in heaptaped's place, and keep in FILE what one
                                  program sends
hostile.py corrupt SOCKET FILE    send what was kept, again and again, each time with another byte of
                                  its frames changed: every offset of every type of frame
hostile.py silent SOCKET N S      N connections that say nothing, until all are closed or for S seconds;
                                  prints how many were closed
hostile.py slow SOCKET N S        N connections that send a frame's bytes one by one, likewise
hostile.py memory SOCKET FILE     shared memory of every wrong kind
hostile.py rewrite SOCKET FILE S  shared memory that is rewritten at random for S seconds
hostile.py claim SOCKET FILE TOKEN PID S
                                  a process of another's run, with the pid of a process of it,
                                  that says it ended with 77 and goes on for S seconds
hostile.py children SOCKET FILE   connections handed over in every wrong way, and children counted in
                                  the shared memory that there never were
hostile.py files SOCKET FILE PID  descriptors of every kind as files of modules, thousands of them; prints
                                  how many the daemon, process PID, has open at most
hostile.py flood SOCKET FILE      what makes a daemon that trusts numbers allocate gigabytes; prints how
                                  many connections with half a frame were dropped: of those that said
                                  nothing before, of programs
"""
import array
import fcntl
import mmap
import os
import random
import re
import resource
import select
import socket
import struct
import sys
import time

RING_MAGIC = 0x31676E6972746568
RING_VERSION = int(re.search(r"RING_VERSION (\d+)", open(os.path.join(os.path.dirname(
    os.path.abspath(__file__)), "../../proto/ring.h")).read())[1])
FORKS_OFFSET = 236
F_ADD_SEALS, F_SEAL_SHRINK = 1033, 2
RING_EVENTS, RING_DETAILS = 4096, 8192
BUFFER_HEAD_BYTES = 80
BUFFER_BYTES = BUFFER_HEAD_BYTES + RING_EVENTS * (8 + 8 + 4 + 4 + 1 + 1) + RING_DETAILS * 8
STRIDE_BYTES = (BUFFER_BYTES + 4095) & ~4095
HELLO, BATCH, NODES, LOSSES, PROCESS_END, RUN_START, RUN_END = 1, 4, 5, 7, 8, 10, 12
MODULE_FILE = 19


def connect(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    while True:
        try:
            peer.connect(path)
            return peer
        except BlockingIOError:  # others wait already
            time.sleep(0.01)


def finish(peer):
    """Says no more and waits until the daemon has dropped it."""
    try:
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(65536):
            pass
    except OSError:
        pass
    peer.close()


def send(path, data, fds=()):
    peer = connect(path)
    try:
        if fds:
            socket.send_fds(peer, [data[:1]], fds)
            data = data[1:]
        peer.sendall(data)
    except OSError:
        pass
    finish(peer)


def frames(path):
    """The frames kept in a file, their lengths included."""
    data, at, found = open(path, "rb").read(), 0, []
    while at + 4 <= len(data):
        length = struct.unpack_from("<I", data, at)[0]
        found.append(data[at:at + 4 + length])
        at += 4 + length
    return found


def kind_of(frame):
    return frame[4] >> 3


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def frame_of(kind, payload):
    payload = field(kind, payload)
    return struct.pack("<I", len(payload)) + payload


def hello_of(kept):
    """Its first frame, in a run of its own."""
    return next(frame for frame in kept if kind_of(frame) == HELLO)


def capture(path, file):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    peer = listener.accept()[0]
    with open(file, "wb") as out:
        while data := socket.recv_fds(peer, 1 << 20, 8)[0]:
            out.write(data)


def fixed64(number, value):
    return bytes([number << 3 | 1]) + struct.pack("<Q", value)


def rare_frames():
    """Types that a program sends only without shared memory, and those of the command."""
    losses = b"".join(fixed64(i, i) for i in range(1, 7)) + field(7, bytes(64))
    start = frame_of(RUN_START, b"\x08\x01" + field(2, b"label") + field(3, b"program") +
                     field(3, b"argument") + field(4, b"/tmp") + field(5, b"HEAPTAPE_STACKS=1"))
    end = frame_of(RUN_END, fixed64(1, 1) + b"\x15" + struct.pack("<I", 4) + b"\x18\x04\x20\x00" +
                   fixed64(5, 6) + fixed64(6, 7) + fixed64(7, 8))
    return [frame_of(LOSSES, losses), start, end,
            frame_of(PROCESS_END, fixed64(1, 1 << 40) + b"\x10\x01\x18\x04" + field(4, losses))]


def corrupt(path, file):
    """One frame of each type, and before it what must come before."""
    kept, sent = frames(file) + rare_frames(), 0
    hello = hello_of(kept)
    start = next(frame for frame in kept if kind_of(frame) == RUN_START)
    for kind in sorted({kind_of(frame) for frame in kept}):
        frame = min((f for f in kept if kind_of(f) == kind), key=len)
        before = {HELLO: b"", RUN_START: b"", RUN_END: start}.get(kind, hello)
        # A long column is more of the same.
        offsets = [i for i in range(len(frame)) if i < 400 or i > len(frame) - 60 or i % 61 == 0]
        for offset in offsets:
            for flip in (0xFF, 0x01, 0x80):
                bad = bytearray(frame)
                bad[offset] ^= flip
                send(path, before + bad)
                sent += 1
            send(path, before + frame[:offset])
            sent += 1
    print(sent)


def silent(path, count, seconds):
    peers = [connect(path) for _ in range(count)]
    until = time.monotonic() + seconds
    closed = 0
    poll = select.poll()
    by_fd = {peer.fileno(): peer for peer in peers}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    while by_fd and time.monotonic() < until:
        for fd, _ in poll.poll(200):
            poll.unregister(fd)
            by_fd.pop(fd).close()
            closed += 1
    print(closed)


def slow(path, count, seconds):
    data = struct.pack("<I", 100000) + b"\x0a" * 1000
    peers = [connect(path) for _ in range(count)]
    until = time.monotonic() + seconds
    closed = 0
    for byte in data:
        if not peers or time.monotonic() >= until:
            break
        for peer in list(peers):
            try:
                peer.send(bytes([byte]))
            except OSError:
                peers.remove(peer)
                closed += 1
        time.sleep(0.2)
    print(closed)


def ring_head(**changed):
    head = dict(magic=RING_MAGIC, version=RING_VERSION, control=1, buffer_count=4, stride=STRIDE_BYTES,
                buffers_offset=4096, nodes_offset=4096 + 4 * STRIDE_BYTES, node_capacity=4096,
                buffers_used=4, nodes_used=4096)
    head.update(changed)
    return struct.pack("<QIIIIQQIIII", *head.values(), 1)


MEMORY_BYTES = 4096 + 4 * STRIDE_BYTES + 4096 * 16


def memory_of(head, size=MEMORY_BYTES, seal=True):
    fd = os.memfd_create("hostile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if head:
        os.pwrite(fd, head, 0)
    if seal:
        fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK)
    return fd


def memory(path, file):
    hello = hello_of(frames(file))
    pipe = os.pipe()
    cases = [
        memory_of(b""),
        memory_of(ring_head(), size=100),
        memory_of(ring_head(), size=4096),
        memory_of(ring_head(), size=MEMORY_BYTES - 1),
        memory_of(ring_head(), seal=False),
        memory_of(ring_head(buffer_count=0xFFFFFFFF)),
        memory_of(ring_head(buffer_count=1 << 20, buffers_used=1 << 20), size=1 << 42),
        memory_of(ring_head(stride=8)),
        memory_of(ring_head(stride=0xFFFFFFF8)),
        memory_of(ring_head(buffers_offset=0xFFFFFFFFFFFFF000)),
        memory_of(ring_head(nodes_offset=0xFFFFFFFFFFFFFFF0)),
        memory_of(ring_head(nodes_offset=1)),
        memory_of(ring_head(node_capacity=0xFFFFFFFF)),
        memory_of(ring_head(node_capacity=0xFFFFFFFF, nodes_used=0xFFFFFFFF), size=1 << 42),
        memory_of(ring_head(buffers_used=0xFFFFFFFF, nodes_used=0xFFFFFFFF)),
        memory_of(ring_head(version=99)),
        os.open("/dev/zero", os.O_RDONLY), os.open("/", os.O_RDONLY), pipe[0], pipe[1],
        os.open("/proc/self/mem", os.O_RDWR), os.open(file, os.O_RDONLY),
        socket.socket(socket.AF_UNIX).detach(), os.open("/dev/full", os.O_RDWR),
    ]
    for fd in cases:
        send(path, hello, [fd])
    # Many at once, with the first frame and with later ones.
    send(path, hello, cases[:16] * 8)
    peer = connect(path)
    peer.sendall(hello)
    for _ in range(200):
        try:
            socket.send_fds(peer, [b"\x01"], cases[:20])
        except OSError:
            break
    finish(peer)
    # Good when it was looked at, then cut (which the seal forbids) and overwritten.
    fd = memory_of(ring_head())
    peer = connect(path)
    socket.send_fds(peer, [hello], [fd])
    time.sleep(0.3)
    try:
        os.ftruncate(fd, 0)
        print("the seal did not hold")
    except OSError:
        pass
    os.pwrite(fd, b"\xff" * 4096, 0)
    time.sleep(0.3)
    finish(peer)
    print(len(cases))


def rewrite(path, file, seconds):
    """Good enough to be read, and never twice the same."""
    kept = frames(file)
    fd = memory_of(ring_head())
    room = mmap.mmap(fd, MEMORY_BYTES)
    peer = connect(path)
    socket.send_fds(peer, [hello_of(kept)], [fd])
    until = time.monotonic() + seconds
    random.seed(5)
    while time.monotonic() < until:
        for slot in range(4):
            at = 4096 + slot * STRIDE_BYTES
            count = random.choice((0, 1, 5, 4096, random.getrandbits(13), random.getrandbits(32)))
            details = random.choice((0, count & 8191, 8192, random.getrandbits(32)))
            struct.pack_into("<IIQIIII", room, at, random.randrange(6), 7,
                             random.choice((0, random.getrandbits(8), random.getrandbits(48))),
                             count, details, random.getrandbits(1), 0)
            kinds = at + BUFFER_HEAD_BYTES + RING_EVENTS * 24 + RING_DETAILS * 8
            room[kinds:kinds + 512] = bytes(random.choices(range(1, 15), k=512))
            some = random.randrange(BUFFER_HEAD_BYTES, STRIDE_BYTES - 64)
            room[at + some:at + some + 64] = random.randbytes(64)
        node = 4096 + 4 * STRIDE_BYTES + 16 * random.randrange(4096)
        struct.pack_into("<QII", room, node, random.getrandbits(47), random.getrandbits(13), 0)
    finish(peer)


def claim(path, file, token, pid, seconds):
    hello = hello_of(frames(file))
    inner = hello[8:]  # after the length, the tag and a length of three bytes
    peer = connect(path)
    peer.sendall(frame_of(HELLO, inner + fixed64(5, token) + b"\x1d" + struct.pack("<I", pid)))
    peer.sendall(frame_of(PROCESS_END, fixed64(1, 1 << 40) + b"\x10\x01\x18\x9a\x01"))
    time.sleep(seconds)
    finish(peer)


def children(path, file):
    """Every kind of descriptor, with every kind of bytes."""
    kept = frames(file)
    hello = hello_of(kept)
    random.seed(7)
    fd = memory_of(ring_head())
    mine, held = connect(path), []
    socket.send_fds(mine, [hello], [fd])
    for _ in range(400):
        try:
            ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            others = [socket.socket(socket.AF_INET), socket.socket(socket.AF_UNIX), mine,
                      socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0]]
            fds = random.choice(([ends[1]], [ends[1]] * 5, others, others + [ends[1]]))
            data = random.choice((b"\0", b"\0", kept[-1], kept[-1][:7], b"\0" * 5000))
            socket.send_fds(mine, [data], [one.fileno() for one in fds])
            ends[0].setblocking(False)
            ends[0].send(random.choice((hello, hello + kept[-1], hello[:9], b"\0", b"\xff" * 20)))
            ends[1].close()
            held.append(ends[0])
            if data != b"\0" or mine in fds:
                mine.close()
                mine = connect(path)
                socket.send_fds(mine, [hello], [memory_of(ring_head())])
            os.pwrite(fd, struct.pack("<II", random.getrandbits(32), random.getrandbits(32)),
                      FORKS_OFFSET)
        except OSError:  # it has lost its connection meanwhile
            mine = connect(path)
            socket.send_fds(mine, [hello], [memory_of(ring_head())])
    mine.close()
    print(len(held))


def files(path, file, pid):
    """Files of modules that are none, too many at once, without their frame, or with another."""
    kept = frames(file)
    hello = hello_of(kept)
    offer = frame_of(MODULE_FILE, b"\x08\x01")
    random.seed(9)
    this = os.open(os.path.abspath(__file__), os.O_RDONLY)
    pipe = os.pipe()
    kinds = [this, this, this, os.open("/", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY), pipe[0],
             os.open(os.path.abspath(__file__), os.O_PATH), os.memfd_create("empty"),
             os.open("/dev/null", os.O_WRONLY)]
    most, peers = 0, []
    for count in range(3000):
        if not peers or count % 150 == 0:
            peers.append(connect(path))
            socket.send_fds(peers[-1], [hello], [memory_of(ring_head())])
        fds = [random.choice(kinds) for _ in range(random.choice((1, 1, 1, 2, 8, 9, 30)))]
        data = random.choice((offer, offer, offer, offer * 3, kept[-1], offer[:5], b"\1"))
        try:
            socket.send_fds(peers[-1], [data], fds)
            if data in (offer[:5], b"\1"):
                raise OSError
        except OSError:  # it has lost its connection meanwhile
            peers.append(connect(path))
            socket.send_fds(peers[-1], [hello], [memory_of(ring_head())])
        if count % 50 == 0:
            most = max(most, len(os.listdir("/proc/%d/fd" % pid)) - len(peers) * 4)
    for peer in peers:
        finish(peer)
    print(most)


def flood(path, file):
    """Numbers far apart, tiny batches that must wait, connections with half a frame each."""
    hello = hello_of(frames(file))
    peer = connect(path)
    peer.sendall(hello)
    number = 1
    try:
        while number < 0xFFFFFFF0:
            number += 65000
            peer.sendall(frame_of(NODES, b"\x0d" + struct.pack("<I", number & 0xFFFFFFFF) +
                                  field(2, struct.pack("<I", 0)) + field(3, struct.pack("<Q", number))))
    except OSError:
        pass
    finish(peer)
    # A buffer that is always busy holds back the events of another thread, which come one by one.
    fd = memory_of(ring_head())
    os.pwrite(fd, struct.pack("<IIQIIII", 2, 7, 0, 0, 0, 1, 0), 4096)
    peer = connect(path)
    socket.send_fds(peer, [hello], [fd])
    try:
        for first in range(300000):
            peer.sendall(frame_of(BATCH, b"\x0d" + struct.pack("<I", 1) + b"\x11" +
                                  struct.pack("<Q", first) + b"\x1d" + struct.pack("<I", 1) +
                                  field(4, b"\x01") + field(5, b"\x01") +
                                  field(6, struct.pack("<Q", (1 << 62) + first)) +
                                  field(7, struct.pack("<Q", 4096)) +
                                  field(8, struct.pack("<I", 9)) + field(9, struct.pack("<I", 0))))
    except OSError:
        pass
    finish(peer)
    # A stranger's first frame is short; and all unfinished frames together have their limit.
    print(dropped_of(path, b"", 300), dropped_of(path, hello, 300))


def dropped_of(path, before, count):
    """How many of so many connections with half a frame the daemon closes: all strangers, and of
    programs at least one."""
    half, dropped = [], 0
    for _ in range(count):
        peer = connect(path)
        peer.settimeout(200)
        half.append(peer)
        try:
            peer.sendall(before + struct.pack("<I", 1 << 20) + b"\x0a" * 1000000)
        except OSError:
            pass
    until, open_ones = time.monotonic() + 200, half
    while open_ones and dropped < (count if not before else 1) and time.monotonic() < until:
        ready = select.select(open_ones, [], [], 1)[0]
        for peer in ready:
            try:
                closed = not peer.recv(65536)
            except OSError:
                closed = True
            dropped += closed
            if closed:
                open_ones = [one for one in open_ones if one is not peer]
    for peer in half:
        peer.close()
    return dropped


def main():
    what, path, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    numbers = [float(word) if "." in word else int(word) if word.isdigit() else word
               for word in rest]
    {"capture": capture, "corrupt": corrupt, "silent": silent, "slow": slow, "memory": memory,
     "rewrite": rewrite, "claim": claim, "children": children, "files": files, "flood": flood}[what](path, *numbers)


main()
