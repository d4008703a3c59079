/* The reference for everything that needs no database: libmicrohttpd alone, with the pool of epoll
 * threads that kamd uses, sending bytes that kamd sent.
 *
 *   raw PORT THREADS ANSWER
 *
 * ANSWER is a file with the header fields of an answer of kamd, an empty line, and its body. */
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char answer[1 << 20];
static struct MHD_Response *response;

/* libmicrohttpd writes these itself. */
static int is_its_own(const char *name) {
    return strcmp(name, "Date") == 0 || strcmp(name, "Content-Length") == 0 ||
           strcmp(name, "Connection") == 0;
}

static int read_answer(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0;
    size_t size = fread(answer, 1, sizeof answer - 1, file);
    fclose(file);
    char *body = strstr(answer, "\n\n");
    if (body == NULL)
        return 0;
    *body = '\0';
    body += 2;
    response = MHD_create_response_from_buffer(size - (size_t)(body - answer), body,
                                               MHD_RESPMEM_PERSISTENT);
    char *rest = answer, *line;
    while (response != NULL && (line = strsep(&rest, "\n")) != NULL) {
        char *value = strstr(line, ": ");
        if (value == NULL)
            return 0;
        *value = '\0';
        if (!is_its_own(line) && MHD_add_response_header(response, line, value + 2) != MHD_YES)
            return 0;
    }
    return response != NULL;
}

static enum MHD_Result serve(void *context, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *data,
                             size_t *data_size, void **seen) {
    static int once;
    (void)context, (void)url, (void)method, (void)version, (void)data;
    if (*seen == NULL) {
        *seen = &once;
        return MHD_YES;
    }
    if (*data_size > 0) { /* what is posted is read and forgotten */
        *data_size = 0;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, response);
}

int main(int argc, char **argv) {
    sigset_t ends;
    int got;
    if (argc != 4 || !read_answer(argv[3])) {
        fprintf(stderr, "usage: raw PORT THREADS ANSWER\n");
        return 2;
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, (uint16_t)atoi(argv[1]), NULL, NULL, serve, NULL,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)atoi(argv[2]), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)16384, MHD_OPTION_CONNECTION_LIMIT, 16384u, MHD_OPTION_END);
    if (daemon == NULL)
        return 1;
    sigwait(&ends, &got);
    MHD_stop_daemon(daemon);
    MHD_destroy_response(response);
    return 0;
}
