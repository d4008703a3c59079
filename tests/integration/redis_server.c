/* Starts, freezes, kills and removes a redis-server that one test has for itself, and sends it
 * commands. */
#include "redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_FIRST 21300
#define PORTS 100

void sleep_ms(int ms) {
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    while (nanosleep(&pause, &pause) != 0)
        continue;
}

static struct sockaddr_in local(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static bool is_free(int port) {
    struct sockaddr_in address = local(port);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool done = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return done;
}

int free_port(void) {
    static int next;
    if (next == 0)
        next = (int)getpid();
    for (int tries = 0; tries < PORTS; tries++) {
        int port = PORT_FIRST + next++ % PORTS;
        if (is_free(port))
            return port;
    }
    fprintf(stderr, "no free port\n");
    exit(1);
}

static int connect_local(int port) {
    struct sockaddr_in address = local(port);
    struct timeval limit = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

_Noreturn static void become_redis(int port) {
    char text[12];
    snprintf(text, sizeof(text), "%d", port);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execlp("redis-server", "redis-server", "--port", text, "--bind", "127.0.0.1", "--save", "",
           "--appendonly", "no", "--dir", "/tmp", "--enable-debug-command", "yes", (char *)NULL);
    _exit(127);
}

bool redis_server_start(struct redis_server *server, int port) {
    server->port = port != 0 ? port : free_port();
    snprintf(server->url, sizeof(server->url), "redis://127.0.0.1:%d", server->port);
    server->pid = fork();
    if (server->pid == 0)
        become_redis(server->port);
    for (int tries = 0; tries < 500; tries++) {
        int fd = connect_local(server->port);
        if (fd >= 0) {
            close(fd);
            return true;
        }
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
            break;
        sleep_ms(10);
    }
    server->pid = 0;
    return false;
}

void redis_server_signal(const struct redis_server *server, int signal) {
    kill(server->pid, signal);
}

void redis_server_kill(struct redis_server *server) {
    if (server->pid == 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

_Noreturn static void give_up(const char *command) {
    fprintf(stderr, "Redis did not answer to: %s\n", command);
    exit(1);
}

/* Reads until `n` bytes are there, or the first line when `n` is 0. */
static size_t read_some(int fd, char *text, size_t room, size_t have, size_t n) {
    while (have < room && (n != 0 ? have < n : memchr(text, '\n', have) == NULL)) {
        ssize_t got = read(fd, text + have, room - have);
        if (got <= 0)
            return 0;
        have += (size_t)got;
    }
    return have;
}

void redis_server_say(const struct redis_server *server, const char *command, char *ret,
                      size_t room) {
    static char text[65536];
    int fd = connect_local(server->port);
    if (fd < 0 || dprintf(fd, "%s\r\n", command) < 0)
        give_up(command);
    size_t have = read_some(fd, text, sizeof(text), 0, 0);
    if (have == 0)
        give_up(command);
    const char *line_end = memchr(text, '\n', have);
    size_t head = (size_t)(line_end - text) + 1;
    const char *from = text + 1;
    size_t len = head - 3;
    if (text[0] == '$') {
        long size = atol(text + 1);
        len = size > 0 ? (size_t)size : 0;
        if (read_some(fd, text, sizeof(text), have, head + len) == 0)
            give_up(command);
        from = text + head;
    }
    close(fd);
    snprintf(ret, room, "%.*s", (int)len, from);
}

bool redis_server_answers(const struct redis_server *server, const char *command,
                          const char *reply) {
    char text[256];
    redis_server_say(server, command, text, sizeof(text));
    if (strcmp(text, reply) == 0)
        return true;
    fprintf(stderr, "Redis answered %s to: %s\n", text, command);
    return false;
}
