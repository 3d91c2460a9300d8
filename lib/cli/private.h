/* What the files of this room share. */
#ifndef MR_CLI_PRIVATE_H
#define MR_CLI_PRIVATE_H

#include "base/buf.h"
#include "base/sha256.h"
#include "cli/cli.h"

/* A set of strings. */
struct id_set {
	char **v;               /* open addressing; NULL: free */
	size_t n, cap;          /* cap: a power of two, or 0 */
};
bool id_set_has(const struct id_set *s, const char *id);
bool id_set_add(struct id_set *s, const char *id);      /* false: it was there */
void id_set_free(struct id_set *s);

struct cli_private {
	struct opt *common;             /* the options every such tool has */
	struct opt *tables[3];
	const char *progress_when, *kv_mem, *key_file;
	struct opt_list endpoints;
	char *key;
	struct id_set seen;             /* ids of this run's records */
	struct id_set resumed;          /* ids in --resume's file */
	struct buf templates;           /* manifest members of the text files read */
	struct buf extra;               /* cli_manifest_add */
	struct sha256 output_hash;
	bool told;                      /* --help, --version: answered before parsing */
	bool reading;                   /* the reader is open */
};

/* Reads --resume's ids; carries its whole lines over where -o names the same
 * file, cuts a torn last line off where standard output appends to it. */
void cli_resume(struct cli *c);
void cli_option_table(struct cli *c);
void cli_add_option(struct opt **at, struct opt o);       /* at is moved behind it */
void cli_apply_options(struct cli *c);
void cli_show_progress(struct cli *c);

/* servers.c: models behind --endpoint */
void cli_server_options(struct cli *c, struct opt **at);
void cli_apply_server_options(struct cli *c);
bool cli_has_servers(const struct cli *c);
/* Their part of the summary, and the manifest's members "model" and "cost". */
void cli_server_summary(const struct cli *c, struct buf *b);
void cli_server_manifest(const struct cli *c, struct buf *b);
void cli_server_cost(const struct cli *c, struct buf *b);

#endif
