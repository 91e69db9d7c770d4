#include "viewer/record/signals.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t program_pid;
static volatile sig_atomic_t continued;

static bool is_in(const int *list, size_t count, int number)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == number)
			return true;
	return false;
}
#define IS_IN(list, number) is_in(list, sizeof(list) / sizeof(*(list)), number)

/* The command needs SIGCHLD itself, and a fault is its own. */
static const int own_signals[] = { SIGKILL, SIGSTOP, SIGCHLD, SIGSEGV, SIGBUS,
				   SIGFPE,  SIGILL,  SIGTRAP, SIGSYS };

/* What a terminal sends, it sends to the whole process group. */
static const int terminal_signals[] = { SIGINT,	 SIGQUIT, SIGTSTP, SIGTTIN,
					SIGTTOU, SIGHUP,  SIGCONT, SIGWINCH };

static void pass_cb(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	pid_t program = program_pid;

	(void)context;
	if (number == SIGCONT)
		continued = 1;
	if (program <= 0 || (info->si_code > 0 && IS_IN(terminal_signals, number)))
		return;
	/* A signal that the program sends to its parent or its group is not for the program. */
	if (info->si_code <= 0 && (info->si_pid == program || info->si_pid == getpid()))
		return;
	if (info->si_code == SI_QUEUE)
		sigqueue(program, number, info->si_value);
	else
		kill(program, number);
	errno = saved;
}

static const struct sigaction passing = { .sa_sigaction = pass_cb,
					  .sa_flags = SA_SIGINFO | SA_RESTART };

void signals_begin(struct signals *signals)
{
	struct sigaction by_default = { .sa_handler = SIG_DFL };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &signals->mask_before);
	for (int number = 1; number < NSIG; number++)
		signals->known[number] = sigaction(number, NULL, &signals->before[number]) == 0;
	for (int number = 1; number < NSIG; number++)
		if (signals->known[number] && !IS_IN(own_signals, number))
			sigaction(number, &passing, NULL);
	sigaction(SIGCHLD, &by_default, NULL);
	signals->on_parents_death = 0;
	prctl(PR_GET_PDEATHSIG, &signals->on_parents_death);
}

static void restore(const struct signals *signals)
{
	for (int number = 1; number < NSIG; number++)
		if (signals->known[number])
			sigaction(number, &signals->before[number], NULL);
	sigprocmask(SIG_SETMASK, &signals->mask_before, NULL);
}

void signals_give_back(const struct signals *signals)
{
	/* The command's death is for the program what its caller's was to be. */
	if (signals->on_parents_death)
		prctl(PR_SET_PDEATHSIG, signals->on_parents_death);
	restore(signals);
}

void signals_pass_to(pid_t program)
{
	sigset_t none;

	program_pid = program;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Stops as the program did. A shell continues the whole group, and the program with it; somebody else
 * the command only. */
static void stop_too(pid_t program, int number)
{
	struct sigaction by_default = { .sa_handler = SIG_DFL };
	siginfo_t info = { .si_pid = 0 };

	program_pid = 0; /* SIGCONT is passed on below */
	continued = 0;
	sigaction(number, &by_default, NULL);
	raise(number);
	sigaction(number, &passing, NULL);
	program_pid = program;
	if (!continued)
		return;
	waitid(P_PID, (id_t)program, &info, WCONTINUED | WEXITED | WNOHANG | WNOWAIT);
	if (info.si_pid != program)
		kill(program, SIGCONT);
}

void signals_wait(pid_t program, int *ret_status, struct rusage *ret_usage)
{
	for (;;) {
		pid_t got = wait4(program, ret_status, WUNTRACED, ret_usage);

		if (got < 0 && errno == EINTR)
			continue;
		/* Whoever sends SIGSTOP to the program alone continues it alone, too. */
		if (got != program || !WIFSTOPPED(*ret_status))
			return;
		if (WSTOPSIG(*ret_status) != SIGSTOP)
			stop_too(program, WSTOPSIG(*ret_status));
	}
}

void signals_end(const struct signals *signals)
{
	program_pid = 0;
	restore(signals);
}
