#!/bin/sh
# The prompt of `heaptape sql` on a terminal: several lines, errors, history, completion, Ctrl-C.
. "$(dirname "$0")/lib.sh"
need python3

"$heaptape" run -q -- "$programs/first" >out
cat >terminal.py <<'PYTHON'
import os, pty, re, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM='xterm', COLUMNS='100')
    os.execv(sys.argv[1], [sys.argv[1], 'sql'])
seen = ''
def until(what):
    global seen
    end = time.monotonic() + 300
    while what not in seen:
        if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            sys.exit('no %r after: %r' % (what, seen))
        try:
            seen += os.read(fd, 4096).decode()
        except OSError:
            sys.exit('it ended before %r: %r' % (what, seen))
        seen = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', seen)
    seen = seen.split(what, 1)[1]
def step(keys, *answers):
    os.write(fd, keys.encode())
    for answer in answers: until(answer)
until('heaptape> ')
step('SELECT 40 + 2 AS answer;\n', '\r\nanswer', '42', 'heaptape> ')
step('SELEC 1;\n', 'syntax error', 'heaptape> ')
step('SELECT 5\n', '...> ')
step('AS five;\n', '\r\n   5', 'heaptape> ')
step('\x1b[A', 'SELECT 5 AS five;')                      # up: the whole statement
step('\x03', '^C', 'heaptape> ')                         # dropped
step('SELECT never\n', '...> ')
step('\x03', '^C', 'heaptape> ')
step('SELECT count(*) FROM processes WHERE exec\t', 'exec', 'utable')
step(" <> '';\n", '\r\n       1', 'heaptape> ')
step('.tab\t\n', 'les', 'allocations', 'virtual', 'heaptape> ')
step('.schema nowhere\n', "no table 'nowhere'", 'heaptape> ')
step("SELECT 'begun' AS a; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i)"
     ' FROM n;\n', '\r\nbegun')
for turn in range(100):
    if 'interrupted' in seen: break
    os.write(fd, b'\x03')
    time.sleep(0.1)
    if select.select([fd], [], [], 0.2)[0]:
        seen += os.read(fd, 4096).decode()
else:
    sys.exit('not interrupted: %r' % seen)
step('SELECT 7 AS seven;\n', '\r\n    7', 'heaptape> ')
for turn in range(60):                                   # all it still says, until it hangs up
    # A key that comes while the terminal changes its mode is not what it was: then a line anew.
    time.sleep(0.3)
    try:
        if turn % 3 == 1: os.write(fd, b'\x03')
        if turn % 3 == 0: os.write(fd, b'\x04')
        if not select.select([fd], [], [], 0.5)[0]: continue
        seen += os.read(fd, 4096).decode()
    except OSError:
        break
else:
    os.kill(pid, 9)
    sys.exit('it does not end: %r' % seen)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PYTHON
is "the prompt" "$(python3 terminal.py "$heaptape" 2>&1)" 0
[ "$(grep -c five .heaptape_history)" = 1 ] || fail "history: $(cat .heaptape_history)"
pass
