/* pump_options.c - the command line of the pump. */
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pump.h"

static void __attribute__((noreturn)) usage(void)
{
	fputs("usage: pump --source HOST:PORT --target HOST:PORT --user NAME [--pairs N] [--tls]\n"
	      "            [--mode copy|read|write] [--batch-messages N] [--batch-bytes N]\n"
	      "PUMP_PASSWORD is the password of both sides.\n",
		stderr);
	exit(2);
}

static struct addrinfo *
resolve(char *where)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	char *colon = strrchr(where, ':');
	int ret;

	if (colon == NULL)
		usage();
	*colon = '\0';
	ret = getaddrinfo(where, colon + 1, &hints, &found);
	if (ret != 0)
		die("%s: %s", where, gai_strerror(ret));
	return found;
}

static size_t
number(const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || value < 1 || value > max)
		usage();
	return value;
}

static enum mode
mode_of(const char *name)
{
	if (strcmp(name, "read") == 0)
		return MODE_READ;
	if (strcmp(name, "write") == 0)
		return MODE_WRITE;
	if (strcmp(name, "copy") != 0)
		usage();
	return MODE_COPY;
}

static SSL_CTX *
tls_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL)
		die("out of memory");
	/* Many records with one call. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BYTES);
	return ctx;
}

struct options
parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "source", required_argument, NULL, 's' },
		{ "target", required_argument, NULL, 't' },
		{ "user", required_argument, NULL, 'u' },
		{ "pairs", required_argument, NULL, 'p' },
		{ "tls", no_argument, NULL, 'x' },
		{ "mode", required_argument, NULL, 'm' },
		{ "batch-messages", required_argument, NULL, 'n' },
		{ "batch-bytes", required_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 },
	};
	struct options opt = {
		.password = getenv("PUMP_PASSWORD"),
		.mode = MODE_COPY,
		.pairs = 1,
		.batch_messages = 100,
		.batch_bytes = 4000000,
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			opt.source = resolve(optarg);
			break;
		case 't':
			opt.target = resolve(optarg);
			break;
		case 'u':
			opt.user = optarg;
			break;
		case 'p':
			opt.pairs = (unsigned)number(optarg, PAIRS_MAX);
			break;
		case 'x':
			opt.tls = tls_context();
			break;
		case 'm':
			opt.mode = mode_of(optarg);
			break;
		case 'n':
			opt.batch_messages = number(optarg, 1000000);
			break;
		case 'b':
			opt.batch_bytes = number(optarg, 1000000000);
			break;
		default:
			usage();
		}
	}
	if (opt.source == NULL || opt.target == NULL || opt.user == NULL || opt.password == NULL ||
		optind != argc)
		usage();
	if (opt.mode != MODE_COPY)
		opt.pairs = 1;
	return opt;
}
