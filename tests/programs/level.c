#include <stdlib.h>

#include "shim/api/heaptape.h" /* <heaptape.h> after make install */

int main(void)
{
	char *menu = malloc(100);

	heaptape_mark("level loaded");
	return malloc(200) == menu;
}
