#include "viewer/print/format.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FORMAT_BYTES 96

static char *format_buffer(void)
{
	static char ring[FORMAT_RING][FORMAT_BYTES];
	static unsigned next;

	return ring[next++ % FORMAT_RING];
}

/* Three significant digits, as many decimals as that leaves. */
static const char *scaled(double value, const char *unit)
{
	char *text = format_buffer();
	int decimals = fabs(value) < 9.995 ? 2 : fabs(value) < 99.95 ? 1 : 0;

	snprintf(text, FORMAT_BYTES, "%.*f %s", decimals, value, unit);
	return text;
}

const char *format_bytes(int64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;
	char *text;

	if (fabs(value) < 1024) {
		text = format_buffer();
		snprintf(text, FORMAT_BYTES, "%" PRId64 " B", bytes);
		return text;
	}
	for (value /= 1024; fabs(value) >= 999.5 && unit < 5; unit++)
		value /= 1024;
	return scaled(value, units[unit]);
}

const char *format_count(int64_t count)
{
	char digits[24], *text = format_buffer(), *at = text;
	uint64_t magnitude = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, magnitude);

	if (count < 0)
		*at++ = '-';
	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = 0;
	return text;
}

const char *format_short_count(int64_t count)
{
	static const char *const units[] = { "k", "M", "G", "T", "P" };
	double value = (double)count;
	size_t unit = 0;

	if (fabs(value) < 10000)
		return format_count(count);
	for (value /= 1000; fabs(value) >= 999.5 && unit < 4; unit++)
		value /= 1000;
	return scaled(value, units[unit]);
}

const char *format_duration(int64_t ns)
{
	double value = (double)ns;
	int64_t seconds = (ns + 500000000) / 1000000000;
	char *text;

	if (fabs(value) < 999.5) {
		text = format_buffer();
		snprintf(text, FORMAT_BYTES, "%" PRId64 " ns", ns);
		return text;
	}
	if (fabs(value) < 999.5e3)
		return scaled(value / 1e3, "us");
	if (fabs(value) < 999.5e6)
		return scaled(value / 1e6, "ms");
	if (fabs(value) < 99.5e9)
		return scaled(value / 1e9, "s");
	text = format_buffer();
	if (seconds < 3600)
		snprintf(text, FORMAT_BYTES, "%" PRId64 " min %" PRId64 " s", seconds / 60,
			 seconds % 60);
	else if (seconds < 86400)
		snprintf(text, FORMAT_BYTES, "%" PRId64 " h %" PRId64 " min", seconds / 3600,
			 seconds % 3600 / 60);
	else
		snprintf(text, FORMAT_BYTES, "%" PRId64 " d %" PRId64 " h", seconds / 86400,
			 seconds % 86400 / 3600);
	return text;
}

const char *format_percent(double part, double whole)
{
	char *text = format_buffer();
	double percent = whole != 0 ? 100 * part / whole : 0;

	if (whole == 0)
		return "-";
	snprintf(text, FORMAT_BYTES, "%.*f %%", fabs(percent) < 99.95 ? 1 : 0, percent);
	return text;
}

const char *format_when(int64_t unix_ns)
{
	char *text = format_buffer();
	time_t seconds = (time_t)(unix_ns / 1000000000);
	struct tm local;

	if (!localtime_r(&seconds, &local) ||
	    !strftime(text, FORMAT_BYTES, "%Y-%m-%d %H:%M:%S", &local))
		snprintf(text, FORMAT_BYTES, "%" PRId64, unix_ns);
	return text;
}

const char *format_when_short(int64_t unix_ns)
{
	char *text = format_buffer();
	time_t seconds = (time_t)(unix_ns / 1000000000);
	double age = difftime(time(NULL), seconds);
	bool recent = age > -86400 && age < 300 * 86400.0;
	struct tm local;

	if (!localtime_r(&seconds, &local) ||
	    !strftime(text, FORMAT_BYTES, recent ? "%e %b %H:%M" : "%e %b %Y", &local))
		snprintf(text, FORMAT_BYTES, "%" PRId64, unix_ns);
	return text;
}

const char *format_plain(int64_t number)
{
	char *text = format_buffer();

	snprintf(text, FORMAT_BYTES, "%" PRId64, number);
	return text;
}

const char *format_plural(int64_t count, const char *singular, const char *plural)
{
	char *text = format_buffer();

	snprintf(text, FORMAT_BYTES, "%s %s", format_count(count), count == 1 ? singular : plural);
	return text;
}

const char *style_on(FILE *stream, enum style style)
{
	static const char *const codes[] = { "\033[0m",	 "\033[1m",  "\033[2m",
					     "\033[33m", "\033[32m", "\033[36m" };
	const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");

	if ((no_colour && *no_colour) || !terminal || !strcmp(terminal, "dumb") ||
	    !isatty(fileno(stream)))
		return "";
	return codes[style];
}

int terminal_width(FILE *stream)
{
	struct winsize size;
	const char *columns = getenv("COLUMNS");
	long width = columns ? strtol(columns, NULL, 10) : 0;

	if (width > 0 && width <= INT_MAX)
		return (int)width;
	if (!ioctl(fileno(stream), TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	return 0;
}
