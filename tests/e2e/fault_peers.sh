#!/bin/sh
# Peers that send nonsense lose their own connection; a recording beside them is whole.
. "$(dirname "$0")/lib.sh"
need python3

"$B/heaptaped" --socket "$T/socket" --db "$HEAPTAPE_DB" >daemon.log 2>&1 &
daemon=$!
until_true [ -S socket ]
is "socket's mode" "$(stat -c %a socket)" 600
cat >peer.py <<'PEER'
import fcntl, os, random, socket, struct, sys, termios, time
random.seed(7)
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(100); s.connect(sys.argv[1]); return s
def send(data, close=True):
    s = connect()
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096): pass
    except OSError: pass
    s.close()
def dropped(data):
    """The daemon ends the connection by itself, although this side keeps it open."""
    s = connect(); s.settimeout(200)
    try:
        s.sendall(data)
        while s.recv(4096): pass
    except TimeoutError: sys.exit('not dropped: %r' % data)
    except OSError: pass
    s.close()
def cut_off(first, rest):
    """The daemon ends the connection when it has read what comes first, and hears no more."""
    s = connect(); s.settimeout(200)
    try:
        s.sendall(first)
        while struct.unpack('i', fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0]: time.sleep(0.01)
        time.sleep(0.1)
        s.sendall(rest)
        answer = s.recv(4096)
    except OSError: answer = b''
    if answer: sys.exit('not cut off: %r' % answer)
    s.close()
def frame(payload): return struct.pack('<I', len(payload)) + payload
def field(n, payload): return bytes([n << 3 | 2]) + varint(len(payload)) + payload
def varint(n):
    out = b''
    while n > 127: out += bytes([n & 127 | 128]); n >>= 7
    return out + bytes([n])
hello = field(1, b'\x08\x01' + b'\x12\x011' + b'\x1d' + struct.pack('<I', 4242) + b'\x60\x80\x20')
if sys.argv[2:] == ['stranger']:
    s = connect()
    try:
        s.sendall(frame(hello))
        answer = s.recv(4096)
    except OSError: answer = b''
    sys.exit('a stranger is answered: %r' % answer if answer else 0)
send(b'')
send(b'\0')
send(struct.pack('<I', 1000) + b'short')
dropped(b'\xff' * 4)
dropped(struct.pack('<I', 0))
dropped(struct.pack('<I', 1 << 20 | 1) + b'x' * 1000)
dropped(frame(b'\xff' * 100))
dropped(frame(hello) + frame(b'\xff' * 100))
dropped(frame(hello) + frame(b'\x22\x05\xff'))                   # a field longer than its frame
dropped(frame(field(4, b'\x0d\x01\0\0\0')))                   # a batch before hello
dropped(frame(field(1, b'\x08\x63')))                          # another version
dropped(frame(hello) + frame(hello))                           # hello twice
dropped(frame(hello) + frame(field(4, b'\x0d\x01\0\0\0\x1d\xff\xff\xff\xff')))
dropped(frame(hello) + frame(field(4, b'\x0d\x01\0\0\0\x1d\x02\0\0\0\x22\x02\x01\x05')))
send(frame(hello) + frame(field(5, b'\x0d\xff\xff\xff\xff')))
dropped(frame(hello) + frame(field(12, b'\x09' + b'\1' * 8)))  # a command's frame from a program
long = frame(hello + b'\xfa\x01' + varint(200000) + bytes(200000)) # with a field that nobody knows
cut_off(long[:150000], long[150000:])                          # a stranger's first frame is short
for _ in range(300):
    data = bytearray(frame(hello) + frame(field(random.randrange(1, 15), random.randbytes(random.randrange(200)))))
    for _ in range(random.randrange(5)):
        data[random.randrange(len(data))] = random.randrange(256)
    send(bytes(data))
s = connect(); s.send(b'\x10'); idle = [connect() for _ in range(200)]
if len(sys.argv) > 2: time.sleep(float(sys.argv[2]))
PEER
python3 peer.py "$T/socket" 5 >peer.log 2>&1 &
peer=$!
run_options="--socket $T/socket"
record "$programs/threads" 4 2000 1
is "status" "$status" 0
compare_rows
record "$programs/history"
is "status" "$status" 0
compare_rows
recorded_whole
wait $peer
is "the peer's own view" "$?:$(cat peer.log)" "0:"
kill -0 $daemon 2>/dev/null || fail "the daemon died: $(tail -3 daemon.log)"
record "$programs/history"
compare_rows
# Whatever the socket's permissions are, only its user and root are served.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$T"
	chmod 666 socket
	setpriv --reuid 65534 --regid 65534 --clear-groups python3 peer.py "$T/socket" stranger >peer.log 2>&1
	is "another user" "$?:$(cat peer.log)" "0:"
fi
kill -TERM $daemon
wait $daemon
is "the daemon's end" $? 0
pass
