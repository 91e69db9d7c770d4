#!/bin/sh
# A program gets the signals that it would get without `run`: the same are ignored and blocked at its
# start; what is sent to the command reaches it, once, also what was ignored or blocked then; what the
# terminal sends comes once; and when it stops, a shell sees its job stopped.
. "$(dirname "$0")/lib.sh"
need python3

cat >signals.py <<'END'
import os, pty, signal, subprocess, sys

program = sys.argv[1]
recorder = [sys.argv[2], 'run', '-q', '--']
stop = {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP}
sent = [s for s in signal.valid_signals() if s not in stop | {signal.SIGCHLD}
	and s not in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS)]

# What never comes is waited for until this ends the test.
groups = []
def give_up(*_):
	for group in groups:
		os.killpg(group, signal.SIGKILL)
	raise Exception('a signal did not arrive')
signal.signal(signal.SIGALRM, give_up)
signal.alarm(120)

def begin(how, before):
	job = subprocess.Popen(how + [program, str(len(sent))], stdout=subprocess.PIPE, preexec_fn=before,
		restore_signals=False, start_new_session=True)
	groups.append(job.pid)
	lines = []
	while not lines or lines[-1] != b'ready\n':
		lines.append(job.stdout.readline())
		if not lines[-1]:
			break
	return job, lines

# Each signal is sent when the one before has arrived: two of a kind would be one otherwise.
def all_signals(how, before):
	job, lines = begin(how, before)
	for s in sent:
		os.kill(job.pid, s)
		lines.append(job.stdout.readline())
	lines += job.stdout.readlines()
	groups.remove(job.pid)
	return lines, job.wait()

def ignore():
	for s in sent + [signal.SIGTSTP]:
		signal.signal(s, signal.SIG_IGN)
def block():
	signal.pthread_sigmask(signal.SIG_SETMASK, sent)
def neither():
	for s in sent:
		signal.signal(s, signal.SIG_DFL)
for name, before in ('neither', neither), ('ignored', ignore), ('blocked', block):
	alone, recorded = all_signals([], before), all_signals(recorder, before)
	if alone != recorded or len(alone[0]) != 3 + len(sent) or alone[1] != 9:
		print('%s: alone %s, recorded %s' % (name, alone, recorded))

# As a shell with job control, on a terminal of its own.
def terminal(how):
	talk, back = os.pipe(), os.pipe()
	shell, screen = pty.fork()
	if not shell:
		signal.signal(signal.SIGTTOU, signal.SIG_IGN)
		ready = os.pipe()
		job = os.fork()
		if not job:
			os.setpgid(0, 0)
			os.tcsetpgrp(0, os.getpgrp())
			for s in signal.SIGTTOU, signal.SIGINT, signal.SIGQUIT:
				signal.signal(s, signal.SIG_DFL)
			os.write(ready[1], b'x')
			os.dup2(back[1], 1)
			command = how + [program, '5']
			os.execv(command[0], command)
		os.read(ready[0], 1)
		while True:
			_, status = os.waitpid(job, os.WUNTRACED)
			if os.WIFSTOPPED(status):
				os.write(back[1], b'stopped %d\n' % os.WSTOPSIG(status))
				os.killpg(job, signal.SIGCONT)
			else:
				os.write(back[1], b'status %d\n' % os.WEXITSTATUS(status))
				os._exit(0)
	groups.append(shell)
	os.close(back[1])
	said = os.fdopen(back[0], 'rb')
	lines = []
	def until(*words):
		while True:
			lines.append(said.readline())
			if not lines[-1] or lines[-1].startswith(words):
				return
	until(b'ready')
	for key in b'\x03', b'\x03', b'\x1c', b'\x03':
		os.write(screen, key)
		until(b'2', b'3')
	os.write(screen, b'\x1a')
	until(b'18')
	until(b'status')
	groups.remove(shell)
	os.waitpid(shell, 0)
	os.close(screen)
	return sorted(lines)
alone, recorded = terminal([]), terminal(recorder)
if alone != recorded or b'stopped 20\n' not in alone:
	print('terminal: alone %s, recorded %s' % (alone, recorded))
END
is "signals" "$(python3 signals.py "$programs/signalled" "$heaptape" 2>&1)" ""
pass
