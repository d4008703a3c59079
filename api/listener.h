/* A listening socket and the thread that accepts from it. */
#ifndef API_LISTENER_H
#define API_LISTENER_H

#include "core/err.h"

#include <sys/socket.h>

struct listener;

/* Takes over a connected, non-blocking socket. */
typedef void (*listener_accepted)(void *context, int fd, const struct sockaddr *address,
                                  socklen_t len);

/* `host` is a numeric address or a name; "::" takes IPv4 too. Port 0: any free one. */
bool listener_open(const char *host, int port, struct listener **ret, struct err *err);
int listener_port(const struct listener *listener);
bool listener_run(struct listener *listener, listener_accepted accepted, void *context,
                  struct err *err);
/* Accepts what has already come in, then closes the socket and frees. NULL is allowed. */
void listener_close(struct listener *listener);

#endif
