/* Models behind servers: the options, the key, what they cost. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/private.h"

enum { LONGEST_KEY = 4096 };

void cli_server_options(struct cli *c, struct opt **at)
{
	struct llm_servers *s = &c->llm.servers;

	s->jobs = LLM_JOBS;
	s->timeout = LLM_TIMEOUT;
	s->connect_timeout = LLM_CONNECT_TIMEOUT;
	s->retries = 10;
	cli_add_option(at, (struct opt){ OPT_GROUP, .help = "Servers" });
	cli_add_option(at, (struct opt){ OPT_STRINGS, "endpoint", .value = &c->priv->endpoints, .arg = "URL",
	    .help = "ask the OpenAI-compatible server at URL, such as http://host:8000; given several times, "
	        "all of them side by side" });
	cli_add_option(at, (struct opt){ OPT_INT, "jobs", .value = &s->jobs, .arg = "N",
	    .help = "requests in flight, of all servers together [{}]", .min = 1, .max = LLM_MOST_JOBS });
	cli_add_option(at, (struct opt){ OPT_STRING, "key-file", .value = &c->priv->key_file, .arg = "FILE",
	    .help = "the servers' key, in a file that others cannot read [$MR_API_KEY]" });
	cli_add_option(at, (struct opt){ OPT_DOUBLE, "timeout", .value = &s->timeout, .arg = "S",
	    .help = "seconds for one request, all in all [{}]", .min = 0.001, .max = 1e6 });
	cli_add_option(at, (struct opt){ OPT_DOUBLE, "connect-timeout", .value = &s->connect_timeout, .arg = "S",
	    .help = "seconds for a connection [{}]", .min = 0.001, .max = 1e6 });
	cli_add_option(at, (struct opt){ OPT_DOUBLE, "idle-timeout", .value = &s->idle_timeout, .arg = "S",
	    .help = "seconds in which nothing comes; 0: as long as --timeout [{}]", .min = 0, .max = 1e6 });
	cli_add_option(at, (struct opt){ OPT_INT, "retries", .value = &s->retries, .arg = "N",
	    .help = "times a request is tried again, after longer and longer waits [{}]", .min = 0, .max = 1000 });
	cli_add_option(at, (struct opt){ OPT_U64, "budget-requests", .value = &s->budget_requests, .arg = "N",
	    .help = "begin at most N requests, then stop; 0: no bound [{}]" });
	cli_add_option(at, (struct opt){ OPT_U64, "budget-tokens", .value = &s->budget_tokens, .arg = "N",
	    .help = "stop when N tokens, in and out, were used; 0: no bound [{}]" });
}

bool cli_has_servers(const struct cli *c)
{
	return c->priv->endpoints.n > 0;
}

/* The first line of a file that is nobody else's; exits where it is not. */
static char *read_key(struct cli *c, const char *path)
{
	char key[LONGEST_KEY + 2];
	size_t len = 0, end;
	ssize_t n;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0)
		cli_die(c, EXIT_USAGE, "--key-file: %s: %s", path, strerror(errno));
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		cli_die(c, EXIT_USAGE, "--key-file: %s: others can read or change it; run: chmod 600 %s", path, path);
	while (len < sizeof key - 1 && (n = read(fd, key + len, sizeof key - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	key[len] = '\0';
	end = strcspn(key, "\r\n");
	if (end == 0 || end > LONGEST_KEY || key[end + strspn(key + end, "\r\n")] || end + strspn(key + end, "\r\n") < len)
		cli_die(c, EXIT_USAGE, "--key-file: %s: one line with the key is wanted in it", path);
	key[end] = '\0';
	return mem_strdup(key);
}

/* Options that go only with servers, or only without. */
static void check_company(struct cli *c)
{
	static const char *const with[] = { "jobs", "key-file", "timeout", "connect-timeout", "idle-timeout",
		"retries", "budget-requests", "budget-tokens", NULL };
	static const char *const without[] = { "chat-template", "exact", NULL };
	bool servers = cli_has_servers(c);

	for (const struct opt *o = c->priv->common; o->kind != OPT_END; o++)
		for (const char *const *name = servers ? without : with; o->given && *name; name++)
			if (strcmp(o->name, *name) == 0)
				cli_usage(c, "--%s goes %s --endpoint", *name, servers ? "not with" : "only with");
}

/* Each request in flight has its own. */
static void allow_connections(int n)
{
	rlim_t wanted = (rlim_t)n + 64;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < wanted) {
		r.rlim_cur = r.rlim_max < wanted ? r.rlim_max : wanted;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

void cli_apply_server_options(struct cli *c)
{
	struct llm_servers *s = &c->llm.servers;
	const char *env = getenv("MR_API_KEY"), *bundle = getenv("CURL_CA_BUNDLE");

	if (!(c->tool->needs & CLI_MODEL))
		return;
	check_company(c);
	if (!cli_has_servers(c))
		return;
	if (!c->model)
		cli_usage(c, "--endpoint: name the server's model with --model NAME");
	if (c->priv->key_file)
		c->priv->key = read_key(c, c->priv->key_file);
	else if (env && *env)
		c->priv->key = mem_strdup(env);
	if (!bundle || !*bundle)
		bundle = getenv("SSL_CERT_FILE");
	s->ca_file = bundle && *bundle ? bundle : NULL;
	allow_connections(s->jobs);
	s->key = c->priv->key;
	s->endpoints = c->priv->endpoints.v;
	s->nendpoints = c->priv->endpoints.n;
}

void cli_server_manifest(const struct cli *c, struct buf *b)
{
	const char *url;

	buf_adds(b, ",\n \"model\":{\"endpoint\":[");
	for (int i = 0; c->model_handle && (url = llm_endpoint(c->model_handle, i)); i++) {
		buf_adds(b, i ? "," : "");
		buf_json_string(b, url, strlen(url));
	}
	buf_adds(b, "],\"name\":");
	buf_json_string(b, c->model, strlen(c->model));
	buf_addc(b, '}');
}

/* Seconds with three digits. */
static double rounded(double seconds)
{
	return (double)(uint64_t)(seconds * 1000 + 0.5) / 1000;
}

static void add_number(struct buf *b, const char *name, double x)
{
	buf_printf(b, ",\"%s\":", name);
	buf_json_number(b, x);
}

void cli_server_cost(const struct cli *c, struct buf *b)
{
	double took = now_seconds() - c->progress.start;
	struct llm_usage u;

	if (!c->model_handle || !cli_has_servers(c))
		return;
	u = llm_usage(c->model_handle);
	buf_printf(b, ",\n \"cost\":{\"requests\":%llu,\"retries\":%llu,\"tokens_in\":%llu,\"tokens_out\":%llu",
	    (unsigned long long)u.requests, (unsigned long long)u.retries, (unsigned long long)u.tokens_in,
	    (unsigned long long)u.tokens_out);
	add_number(b, "seconds", rounded(took));
	add_number(b, "tokens_per_second", rounded(took > 0 ? (double)u.tokens_out / took : 0));
	add_number(b, "latency_p50", rounded(llm_latency(c->model_handle, 0.5)));
	add_number(b, "latency_p95", rounded(llm_latency(c->model_handle, 0.95)));
	buf_addc(b, '}');
}

void cli_server_summary(const struct cli *c, struct buf *b)
{
	double took = now_seconds() - c->progress.start;
	struct llm_usage u = llm_usage(c->model_handle);

	buf_printf(b, ", %llu request%s (%llu retried), %llu tokens in, %llu out, %.1f s, %.1f tokens/s, "
	    "latency p50 %.3f s, p95 %.3f s", (unsigned long long)u.requests, u.requests == 1 ? "" : "s",
	    (unsigned long long)u.retries, (unsigned long long)u.tokens_in, (unsigned long long)u.tokens_out, took,
	    took > 0 ? (double)u.tokens_out / took : 0, llm_latency(c->model_handle, 0.5),
	    llm_latency(c->model_handle, 0.95));
}
