/* heaptaped: records what programs' heaps do into a database. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/server.h"
#include "daemon/symbols/symbols.h"
#include "proto/recorder.h"

static const char help[] =
	"Usage: heaptaped --socket PATH --db FILE [OPTIONS]\n"
	"       heaptaped --symbols FILE RUN [--again]\n"
	"\n"
	"Records programs that run with heaptape's library into FILE, until it is told to stop\n"
	"(SIGTERM, SIGINT). `heaptape run` starts one by itself; start one by hand to record many\n"
	"programs, or programs that run for long.\n"
	"\n"
	"  --socket PATH   listen here; only the same user and root are served\n"
	"  --db FILE       the database; made if it does not exist, else appended to\n"
	"  --private       end when everything that was begun is recorded and nobody is connected\n"
	"  --folder PATH   made for the socket alone: removed at the end\n"
	"  --patience S    wait S seconds for another program that keeps FILE locked (default: "
	"60);\n"
	"                  then recording stops\n"
	"  --ready-fd N    write a line to descriptor N when programs may connect\n"
	"  --help, --version\n"
	"\n"
	"Programs find it by HEAPTAPE_SOCKET=PATH.\n"
	"\n"
	"  --symbols FILE RUN   look up the functions and lines of run RUN in the database FILE "
	"(0: of\n"
	"                       all runs). The daemon does this by itself; by hand it helps where "
	"the\n"
	"                       daemon was killed.\n"
	"  --again              also look up what had no name or line before, for instance after\n"
	"                       debug information was installed\n"
	"\n"
	"Exit status: 0 stopped as told, 2 wrong use, 3 could not start.\n";

static int wrong_use(const char *what)
{
	if (what)
		fprintf(stderr, "heaptaped: %s\n", what);
	fprintf(stderr, "Try 'heaptaped --help'.\n");
	return 2;
}

int main(int argc, char **argv)
{
	enum { SOCKET = 256, DB, PRIVATE, FOLDER, PATIENCE, READY_FD, HELP, PRINT_VERSION };
	static const struct option rows[] = {
		{ "socket", required_argument, NULL, SOCKET },
		{ "db", required_argument, NULL, DB },
		{ "private", no_argument, NULL, PRIVATE },
		{ "folder", required_argument, NULL, FOLDER },
		{ "patience", required_argument, NULL, PATIENCE },
		{ "ready-fd", required_argument, NULL, READY_FD },
		{ "help", no_argument, NULL, HELP },
		{ "version", no_argument, NULL, PRINT_VERSION },
		{ NULL, 0, NULL, 0 },
	};
	struct server_options options = { .ready_fd = -1, .patience_ms = WRITER_PATIENCE_MS };
	const char *folder = NULL;
	char *end;
	int option, status;

	if (argc > 1 && strcmp(argv[1], SYMBOLS_OPTION) == 0)
		return symbols_main(argc, argv);
	clock_start();
	/* What the caller left open is nothing for the programs started from here. */
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	while ((option = getopt_long(argc, argv, "h", rows, NULL)) != -1) {
		switch (option) {
		case SOCKET:
			options.socket_path = optarg;
			break;
		case DB:
			options.db_path = optarg;
			break;
		case PRIVATE:
			options.private = true;
			break;
		case FOLDER:
			folder = optarg;
			break;
		case PATIENCE:
			options.patience_ms = (unsigned)strtoul(optarg, &end, 10) * 1000;
			if (*end || end == optarg || options.patience_ms > 3600000)
				return wrong_use("--patience needs a number of seconds");
			break;
		case READY_FD:
			options.ready_fd = (int)strtol(optarg, &end, 10);
			if (*end || end == optarg || options.ready_fd < 0)
				return wrong_use("--ready-fd needs the number of a descriptor");
			break;
		case HELP:
		case 'h':
			fputs(help, stdout);
			return 0;
		case PRINT_VERSION:
			puts("heaptaped " HEAPTAPE_VERSION);
			return 0;
		default:
			return wrong_use(NULL);
		}
	}
	if (optind < argc)
		return wrong_use("takes no arguments besides its options");
	if (!options.socket_path || !options.db_path)
		return wrong_use("both --socket and --db are needed");
	if (folder)
		recorder_hold_folder(folder);
	status = server_run(&options);
	if (folder)
		recorder_remove_folder(folder);
	return status;
}
