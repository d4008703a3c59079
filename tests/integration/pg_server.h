/* A private PostgreSQL server of one test, for what a shared one must not suffer: freezing,
 * killing, a read-only life. In a new folder, on a free port of 127.0.0.1, trusting everybody, gone
 * when the test is. */
#ifndef KAMD_TESTS_INTEGRATION_PG_SERVER_H
#define KAMD_TESTS_INTEGRATION_PG_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct pg_server {
    pid_t pid; /* of the postmaster; 0: not running */
    int port;
    char home[64];
    char url[96]; /* of its superuser */
};

/* False when there is no PostgreSQL on this machine. */
bool pg_server_init(struct pg_server *server);
/* Starts or restarts it, on the same data and port; waits until it takes connections. */
bool pg_server_start(struct pg_server *server);
/* To the postmaster and all its children: SIGSTOP, SIGCONT. */
void pg_server_signal(const struct pg_server *server, int signal);
/* SIGKILL to all of them at once, as when the machine dies. */
void pg_server_kill(struct pg_server *server);
/* Kills it and removes its folder. */
void pg_server_remove(struct pg_server *server);

/* Runs SQL on any server with a connection of its own; ends the program when it fails. Copies the
 * first value of the last result, "" when there is none. */
void pg_say(const char *url, const char *sql, char *ret, size_t room);
void pg_do(const char *url, const char *sql);

#endif
