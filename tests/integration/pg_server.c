/* Makes, starts, freezes, kills and removes a PostgreSQL server that one test has for itself. */
#include "pg_server.h"

#include "redis_server.h"

#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *find_bin(void) {
    static char bin[256];
    glob_t found;

    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) != 0)
        return NULL;
    snprintf(bin, sizeof(bin), "%s", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return bin;
}

/* PostgreSQL refuses to run as root. */
static const struct passwd *other_user(void) {
    return geteuid() == 0 ? getpwnam("postgres") : NULL;
}

_Noreturn static void become(const char *program, const char *home, char **args) {
    const struct passwd *user = other_user();
    char path[300], log[80];

    snprintf(path, sizeof(path), "%s/%s", find_bin(), program);
    snprintf(log, sizeof(log), "%s/log", home);
    if (user != NULL && (initgroups(user->pw_name, user->pw_gid) != 0 ||
                         setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int in = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    args[0] = path; /* PostgreSQL's programs look for each other beside it */
    if (chdir(home) == 0)
        execv(path, args);
    _exit(127);
}

bool pg_server_init(struct pg_server *server) {
    const struct passwd *user = other_user();
    char data[80];
    char *args[] = {NULL,
                    (char[]){"-D"},
                    data,
                    (char[]){"-Upostgres"},
                    (char[]){"-Atrust"},
                    (char[]){"-EUTF8"},
                    (char[]){"--no-sync"},
                    (char[]){"--locale=C"},
                    NULL};
    int status = 1;

    *server = (struct pg_server){.home = "/tmp/kamd-test-pg-XXXXXX"};
    if (find_bin() == NULL || mkdtemp(server->home) == NULL)
        return false;
    if (user != NULL && chown(server->home, user->pw_uid, user->pw_gid) != 0)
        return false;
    snprintf(data, sizeof(data), "%s/data", server->home);
    pid_t pid = fork();
    if (pid == 0)
        become("initdb", server->home, args);
    waitpid(pid, &status, 0);
    server->port = free_port();
    snprintf(server->url, sizeof(server->url),
             "postgresql://postgres@127.0.0.1:%d/postgres?connect_timeout=5", server->port);
    return status == 0;
}

static bool answers(const struct pg_server *server) {
    PGconn *conn = PQconnectdb(server->url);
    bool ok = PQstatus(conn) == CONNECTION_OK;

    PQfinish(conn);
    return ok;
}

bool pg_server_start(struct pg_server *server) {
    char data[80], port[16], socket_dir[96];
    char *args[] = {NULL,
                    (char[]){"-D"},
                    data,
                    (char[]){"-p"},
                    port,
                    (char[]){"-c"},
                    socket_dir,
                    (char[]){"-clisten_addresses=127.0.0.1"},
                    (char[]){"-cfsync=off"},
                    (char[]){"-cmax_connections=30"},
                    (char[]){"-cshared_buffers=16MB"},
                    NULL};

    snprintf(data, sizeof(data), "%s/data", server->home);
    snprintf(port, sizeof(port), "%d", server->port);
    snprintf(socket_dir, sizeof(socket_dir), "unix_socket_directories=%s", server->home);
    server->pid = fork();
    if (server->pid == 0)
        become("postgres", server->home, args);
    for (int i = 0; i < 600; i++) {
        if (answers(server))
            return true;
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
            break;
        sleep_ms(50);
    }
    server->pid = 0;
    return false;
}

/* The parent's pid is behind the last ')': the name in front may hold anything. */
static pid_t parent_of(const char *stat_path) {
    char text[512] = "";
    FILE *file = fopen(stat_path, "re");
    int parent = 0;

    if (file == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *end = strrchr(text, ')');
    if (end == NULL || sscanf(end + 1, " %*c %d", &parent) != 1)
        return 0;
    return parent;
}

static void signal_children(pid_t parent, int signal) {
    glob_t found;

    if (glob("/proc/[0-9]*/stat", 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        if (parent_of(found.gl_pathv[i]) == parent)
            kill((pid_t)strtol(found.gl_pathv[i] + strlen("/proc/"), NULL, 10), signal);
    globfree(&found);
}

void pg_server_signal(const struct pg_server *server, int signal) {
    if (server->pid == 0)
        return;
    kill(server->pid, signal);
    signal_children(server->pid, signal);
}

void pg_server_kill(struct pg_server *server) {
    if (server->pid == 0)
        return;
    /* Stopped first, so that no child slips through to another parent. */
    kill(server->pid, SIGSTOP);
    signal_children(server->pid, SIGKILL);
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void pg_server_remove(struct pg_server *server) {
    pg_server_kill(server);
    if (server->home[0] != '\0')
        nftw(server->home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    server->home[0] = '\0';
}

static void drop_notice(void *arg, const PGresult *notice) {
    (void)arg;
    (void)notice;
}

void pg_say(const char *url, const char *sql, char *ret, size_t room) {
    PGconn *conn = PQconnectdb(url);

    PQsetNoticeReceiver(conn, drop_notice, NULL);
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fprintf(stderr, "%s: %s\n", sql, PQerrorMessage(conn));
        exit(1);
    }
    bool some = PQntuples(result) > 0 && PQnfields(result) > 0;
    snprintf(ret, room, "%s", some ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
}

void pg_do(const char *url, const char *sql) {
    char ignored[2];

    pg_say(url, sql, ignored, sizeof(ignored));
}
