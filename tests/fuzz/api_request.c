/* The head of a request: guard, query, router, content negotiation, and the problem document that
 * answers it. First line: method, space, target; then one header field a line. */
#include "core/json.h"
#include "core/start.h"
#include "http_strict.h"
#include "problem.h"
#include "router.h"

#include <stdlib.h>
#include <string.h>

#define FIELDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct route table[] = {
    {.method = "GET", .path = "/v1/accounts"},
    {.method = "GET", .path = "/v1/accounts/{id}"},
    {.method = "POST", .path = "/v1/accounts/search"},
    {.method = "PUT", .path = "/v1/{a}/{b}/{c}/{d}"},
    {.method = "GET", .path = "/docs/"},
};

static void must(bool holds) {
    if (!holds)
        abort();
}

static void fill(struct request *request, struct header *headers, struct str input) {
    struct str line;
    if (!str_split(&input, '\n', &line))
        return;
    struct str target = line;
    str_split(&target, ' ', &request->method);
    str_split(&target, '?', &request->path);
    request->raw_query = target.ptr != NULL ? target : STR("");
    request->headers = headers;
    while (request->n_headers < FIELDS && str_split(&input, '\n', &line)) {
        struct header *header = &headers[request->n_headers++];
        str_split(&line, ':', &header->name);
        header->value = str_trim(line.ptr != NULL ? line : STR(""));
    }
}

/* What the guard lets pass has one reading. */
static void check_passed(struct request *request, struct err *err) {
    static struct router *router;
    const struct route *route;
    struct path_args args;
    struct buf allow CLEANUP(buf_release) = {0};
    buf_init(&allow, 1000);
    must(router != NULL || router_init(table, COUNT_OF(table), &router, err));
    must(request->path.ptr[0] == '/' && memchr(request->path.ptr, 0, request->path.len) == NULL);
    if (router_match(router, request, &route, &args, &allow) == MATCH_FOUND) {
        for (size_t i = 0; i < args.n; i++) {
            struct str value = args.items[i].value;
            must(value.len > 0 && str_is_utf8(value) && !str_is(value, "..") &&
                 memchr(value.ptr, '/', value.len) == NULL);
        }
    }
    if (request_read_query(request, err)) {
        for (size_t i = 0; i < request->n_query; i++)
            must(str_is_utf8(request->query[i].name) && str_is_utf8(request->query[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool started;
    started = started || core_start();
    struct err err CLEANUP(err_release) = ERR_INIT;
    struct arena arena CLEANUP(arena_release) = {0};
    struct answer answer = {0};
    jv *body CLEANUP(jv_unref) = NULL;
    struct header headers[FIELDS];
    struct request request = {.arena = &arena, .method = STR(""), .path = STR("")};
    arena_init(&arena, 16 << 20);
    buf_init(&answer.body, 1 << 20);
    fill(&request, headers, (struct str){size == 0 ? "" : (const char *)data, size});
    if (request.path.ptr == NULL)
        request.path = STR("");
    if (guard_check(&request, STR("HTTP/1.1"), &err))
        check_passed(&request, &err);
    problem_answer(&err, &request, &answer);
    struct err wrong CLEANUP(err_release) = ERR_INIT;
    must(json_read(buf_str(&answer.body), JSON_TOKENS, &body, &wrong));
    must(request_accepts(&request, "Accept", "application/json") <= 1000);
    buf_release(&answer.body);
    return 0;
}
