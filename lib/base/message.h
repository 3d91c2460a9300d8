/* One turn of a conversation, as chat templates and servers know it. */
#ifndef MR_BASE_MESSAGE_H
#define MR_BASE_MESSAGE_H

struct message {
	const char *role;       /* "system", "user" or "assistant" */
	const char *content;    /* UTF-8, no NUL inside */
};

#endif
