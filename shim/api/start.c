/* How it all begins: the constructor, which runs before the program's. */
#include "shim/api/exec.h"
#include "shim/api/follow.h"
#include "shim/api/fork.h"
#include "shim/api/malloc.h"
#include "shim/api/shell.h"
#include "shim/libc.h"
#include "shim/link.h"
#include "shim/misuse/foreign.h"
#include "shim/misuse/guarded.h"
#include "shim/prim.h"
#include "shim/record/hello.h"
#include "shim/record/lifecycle.h"
#include "shim/record/thread.h"
#include "shim/settings.h"
#include "shim/stack/capture.h"
#include "shim/stack/range.h"
#include "shim/sys.h"

/* Ours is the code that notices misuse; what is shown is the program's. */
static void leave_out_own_code(void)
{
#if !(defined(HT_UNIT_TEST) && HT_UNIT_TEST)
	extern const char __ehdr_start[] __attribute__((visibility("hidden")));
	extern const char etext[] __attribute__((visibility("hidden")));

	ht_stack_own_code((uintptr_t)__ehdr_start, (uintptr_t)etext);
#endif
}

/* Registered before any other handler, so called after them all. */
static void at_exit(int status, void *unused)
{
	(void)unused;
	ht_guard_check_all();
	ht_ending(PROCESS_EXITED, status & 0xff);
}

/* Not static: a unit test has it linked by its name. */
void ht_start(int argc, char **argv, char **envp);

__attribute__((constructor(101))) void ht_start(int argc, char **argv, char **envp)
{
	(void)argc;
	ht_hello_argv = argv;
	prim_on_unmap(ht_stack_unmapped);
	leave_out_own_code();
	ht_fork_watch();
	ht_exec_init();
	ht_shell_init();
	ht_foreign_init(HT_API(malloc), ht_own_usable_size);
	ht_settings_read(envp);
	ht_replaced = ht_foreign_replaces();
	ht_settings.guard = ht_settings.guard && !ht_replaced;
	ht_follow_init(envp);
	if (ht_settings.socket[0] && ht_follow_leaves_out()) {
		ht_link_off(NULL, 0);
		return;
	}
	if (ht_settings.guard) {
		ht_guard_start();
		ht_libc()->on_exit(at_exit, NULL);
	}
	if (!ht_settings.socket[0]) {
		ht_link_off(NULL, 0);
		if (ht_guard_on) {
			ht_stacks_alone();
			ht_free_stacks_on = ht_stacks_on;
		}
		return;
	}
	ht_settings_begin_run();
	if (!ht_begin(false)) {
		ht_ring_drop(&ht_ring);
		return;
	}
	ht_threads_init();
	if (ht_replaced || (ht_settings.dormant && !ht_settings.guard)) {
		ht_thread_drop_bootstrap();
		ht_epoch_ticks = ht_clock_ticks();
	} else {
		ht_thread_adopt_bootstrap();
	}
	ht_watch();
	if (!ht_guard_on)
		ht_libc()->on_exit(at_exit, NULL);
}
