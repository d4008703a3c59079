/* A private redis-server of one test: without persistence, on a free port of 127.0.0.1, gone when
 * the test is. */
#ifndef KAMD_TESTS_INTEGRATION_REDIS_SERVER_H
#define KAMD_TESTS_INTEGRATION_REDIS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: not running */
    int port;
    char url[64];
};

/* A free port below the range that the kernel gives to clients. */
int free_port(void);
/* False when there is no redis-server on this machine. `port` 0: a free one. */
bool redis_server_start(struct redis_server *server, int port);
void redis_server_signal(const struct redis_server *server, int signal);
void redis_server_kill(struct redis_server *server);
/* Says one command (words without spaces) and copies the reply's text: a status, a number, a bulk
 * string. Ends the program when that takes more than 5 seconds. */
void redis_server_say(const struct redis_server *server, const char *command, char *ret,
                      size_t room);
/* The same, for an expected status or number. */
bool redis_server_answers(const struct redis_server *server, const char *command,
                          const char *reply);

void sleep_ms(int ms);

#endif
