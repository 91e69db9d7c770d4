#include "shim/frame.h"

#include <signal.h>

#include "shim/sys.h"

/* A signal's own frame is larger than this, our functions' frames down to here are smaller. */
#define SIGNAL_FRAME_BYTES 640

/* A handler's frames lie below those it interrupted, except on an alternate signal stack, which may be
 * anywhere. */
bool ht_frame_was_left(uint32_t token)
{
	stack_t stack = { .ss_flags = 0 };

	if ((int32_t)(frame_token() + SIGNAL_FRAME_BYTES - token) < 0)
		return false;
	return sys_call2(SYS_sigaltstack, 0, &stack) == 0 && !(stack.ss_flags & SS_ONSTACK);
}
