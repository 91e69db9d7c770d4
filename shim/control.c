#include "shim/control.h"

int ht_pid;
bool ht_replaced;
bool ht_guard_on;
uint64_t ht_epoch_ticks;

/* Until the constructor has looked at the environment, everything is recorded: into the bootstrap
 * buffer, which is forgotten when there is nobody to send it to. */
static const uint32_t record_from_the_start = RING_CONTROL_RECORD;

const uint32_t *ht_control = &record_from_the_start;
const uint32_t *ht_entry = &record_from_the_start;
void ht_control_set(const uint32_t *word)
{
	__atomic_store_n(&ht_control, word, __ATOMIC_RELEASE);
	__atomic_store_n(&ht_entry, ht_guard_on ? &record_from_the_start : word, __ATOMIC_RELEASE);
}
