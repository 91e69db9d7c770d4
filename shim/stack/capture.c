#include "shim/stack/capture.h"

bool ht_stacks_on;
bool ht_free_stacks_on;
