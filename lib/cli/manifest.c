/* How an output was made: a JSON object beside it. No times and no paths of
 * folders that change nothing: the same run gives the same manifest, but for
 * what servers cost ("cost"). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/private.h"

/* What cannot change the output's bytes, or is told elsewhere. */
static const char *const not_telling[] = {
	"output", "rejects", "resume", "checkpoint", "checkpoint-every", "manifest", "model", "threads", "batch",
	"kv-mem", "mem", "progress", "quiet",
	"endpoint", "jobs", "timeout", "connect-timeout", "idle-timeout", "retries", "key-file",
	"budget-requests", "budget-tokens",
	"help", "version", NULL,
};

void cli_manifest_add(struct cli *c, const char *members)
{
	buf_adds(&c->priv->extra, ",");
	buf_adds(&c->priv->extra, members);
}

static void hash_so_far(const struct sha256 *s, char hex[65])
{
	struct sha256 copy = *s;

	sha256_end_hex(&copy, hex);
}

static int add_model(const struct cli *c, struct buf *b, struct err *err)
{
	const char *base = strrchr(c->model, '/');
	struct err why;
	char hex[65];

	if (cli_has_servers(c)) {
		cli_server_manifest(c, b);
		return 0;
	}
	if (sha256_file(c->model, hex, &why) != 0)
		return err_set(err, "%s: %s", c->model, why.msg);
	base = base ? base + 1 : c->model;
	buf_adds(b, ",\n \"model\":{\"file\":");
	buf_json_string(b, base, strlen(base));
	buf_printf(b, ",\"sha256\":\"%s\"}", hex);
	return 0;
}

static int describe(const struct cli *c, struct buf *b, struct err *err)
{
	char hex[65];

	buf_printf(b, "{\"tool\":\"%s\",\n \"version\":\"%s\",\n \"options\":", c->tool->name, MR_VERSION);
	opts_json(c->priv->tables, not_telling, b);
	if ((c->tool->needs & (CLI_MODEL | CLI_WEIGHTS)) && c->model && add_model(c, b, err) != 0)
		return -1;
	if (c->priv->reading) {
		hash_so_far(&c->reader.hash, hex);
		buf_adds(b, ",\n \"input\":{\"files\":[");
		for (int i = 0; i < c->noperands; i++) {
			buf_adds(b, i ? "," : "");
			buf_json_string(b, c->operands[i], strlen(c->operands[i]));
		}
		buf_printf(b, "],\"sha256\":\"%s\"}", hex);
		buf_printf(b, ",\n \"records\":{\"read\":%llu,\"done\":%llu,\"failed\":%llu,\"already_there\":%llu}",
		    (unsigned long long)c->nread, (unsigned long long)c->ndone,
		    (unsigned long long)c->nfailed, (unsigned long long)c->nskipped);
	}
	if (c->priv->templates.len)
		buf_printf(b, ",\n \"texts\":[%s]", c->priv->templates.data);
	if (c->priv->extra.len)
		buf_printf(b, ",\n %s", c->priv->extra.data + 1);
	cli_server_cost(c, b);
	return 0;
}

int cli_manifest(struct cli *c, const char *path, struct err *err)
{
	struct buf b = { 0 }, name = { 0 };
	struct stat st;
	char hex[65];
	int rc;

	if (!c->manifest && path && stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return 0;       /* beside /dev/null or a FIFO there is no place */
	if (describe(c, &b, err) != 0) {
		buf_free(&b);
		return -1;
	}
	if (path == c->output) {
		hash_so_far(&c->priv->output_hash, hex);
		buf_printf(&b, ",\n \"output\":{\"sha256\":\"%s\"}", hex);
	}
	buf_adds(&b, "}\n");
	if (c->manifest)
		buf_adds(&name, c->manifest);
	else
		buf_printf(&name, "%s.manifest.json", path);
	rc = out_file(name.data, b.data, b.len, err);
	buf_free(&name);
	buf_free(&b);
	return rc;
}
