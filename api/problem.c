/* Writes an error (struct err) as the RFC 9457 problem document that the client gets, and serves
 * the page that explains each kind of problem. */
#include "problem.h"

#include <stdio.h>
#include <string.h>

#define JSON_TYPE "application/json"
#define PROBLEM_TYPE "application/problem+json"

static void member(struct buf *body, const char *name, struct str value) {
    buf_char(body, ',');
    buf_json(body, str_of(name));
    buf_char(body, ':');
    buf_json(body, value);
}

/* What comes from outside or from another library need not be UTF-8; JSON must be. */
static struct str as_utf8(struct str text) { return str_is_utf8(text) ? text : STR(""); }

static const char *place_name(enum err_at at) {
    switch (at) {
    case ERR_AT_POINTER:
        return "pointer";
    case ERR_AT_PARAMETER:
        return "parameter";
    case ERR_AT_HEADER:
        return "header";
    }
    return "pointer";
}

static void write_items(struct buf *body, const struct err *err) {
    buf_text(body, ",\"errors\":[");
    for (size_t i = 0; i < err->n_items; i++) {
        const struct err_item *item = &err->items[i];
        buf_text(body, i > 0 ? ",{\"" : "{\"");
        buf_text(body, place_name(item->at));
        buf_text(body, "\":");
        buf_json(body, as_utf8(str_of(item->where)));
        member(body, "code", str_of(item->code));
        member(body, "detail", as_utf8(str_of(item->detail)));
        buf_char(body, '}');
    }
    buf_char(body, ']');
}

static void write_type(struct buf *body, const struct problem_info *info) {
    buf_text(body, "{\"type\":\"/problems/");
    buf_text(body, info->code);
    buf_char(body, '"');
    member(body, "title", str_of(info->title));
    buf_text(body, ",\"status\":");
    buf_i64(body, info->status);
}

/* Many clients show nothing but the detail: where it is what the first item says, it names the
 * place, and how many items there are besides. */
static struct str item_detail(const struct err *err, char *text, size_t room) {
    const struct err_item *item = &err->items[0];
    char first[sizeof *item];
    if (strcmp(err->detail, item->detail) != 0)
        return str_of(err->detail);
    const char *where = item->where[0] == '/' ? item->where + 1 : item->where;
    const char *said = err_item_text(item, where, first, sizeof first);
    if (said == item->detail || err->n_items == 1)
        snprintf(text, room, "%s", said);
    else
        snprintf(text, room, "%s (and %zu more, see errors)", said, err->n_items - 1);
    return str_of(text);
}

/* A 5xx says what the list says: what we know beyond that is ours. */
static struct str public_detail(const struct err *err, const struct problem_info *info, char *text,
                                size_t room) {
    if (info->status >= 500 || err->detail[0] == '\0' || !str_is_utf8(str_of(err->detail)))
        return str_of(info->meaning);
    return err->n_items > 0 ? item_detail(err, text, room) : str_of(err->detail);
}

static void write_problem(const struct err *err, const struct problem_info *info,
                          const struct request *request, struct buf *body) {
    char text[sizeof(struct err_item) + 64];
    write_type(body, info);
    member(body, "detail", public_detail(err, info, text, sizeof text));
    member(body, "instance", as_utf8(request->path));
    member(body, "code", str_of(info->code));
    member(body, "request_id", str_of(request->id));
    if (err->n_items > 0)
        write_items(body, err);
    if (err->retry_after > 0) {
        buf_text(body, ",\"retry_after_seconds\":");
        buf_i64(body, err->retry_after);
    }
    if (err->etag[0] != '\0')
        member(body, "current_etag", str_of(err->etag));
    if (err->extra != NULL && err->extra[0] != '\0') {
        buf_char(body, ',');
        buf_text(body, err->extra);
    }
    buf_char(body, '}');
}

static const char *media_type(const struct request *request) {
    if (request_accepts(request, "Accept", PROBLEM_TYPE) != 0)
        return PROBLEM_TYPE;
    return request_accepts(request, "Accept", JSON_TYPE) > 0 ? JSON_TYPE : PROBLEM_TYPE;
}

static void set_headers(const struct err *err, const struct problem_info *info,
                        const struct request *request, struct answer *answer) {
    if (err->retry_after > 0) {
        char text[16];
        int len = snprintf(text, sizeof text, "%d", err->retry_after);
        struct str value = arena_str(request->arena, (struct str){text, (size_t)len});
        answer_header(answer, "Retry-After", value.ptr != NULL ? value : STR("1"));
    }
    if (info->status == 412 && err->etag[0] != '\0') {
        struct str etag = arena_str(request->arena, str_of(err->etag));
        if (etag.ptr != NULL)
            answer_header(answer, "ETag", etag);
    }
}

void problem_answer(const struct err *err, const struct request *request, struct answer *answer) {
    enum problem problem = err->problem == PROBLEM_NONE ? PROBLEM_INTERNAL : err->problem;
    const struct problem_info *info = problem_info(problem);
    answer->status = info->status;
    answer->content_type = media_type(request);
    buf_reset(&answer->body);
    write_problem(err, info, request, &answer->body);
    set_headers(err, info, request, answer);
}

void problem_say(enum problem problem, const struct request *request, struct answer *answer,
                 const char *detail) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    err.problem = problem;
    if (detail != NULL)
        snprintf(err.detail, sizeof err.detail, "%s", detail);
    if (problem_info(problem)->status == 503)
        err.retry_after = 1;
    problem_answer(&err, request, answer);
}

/* Title and meaning are our own text, free of < and &. */
static void write_page(const struct problem_info *info, struct buf *body) {
    buf_text(body, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    buf_text(body, info->title);
    buf_text(body, "</title></head><body><h1>");
    buf_text(body, info->title);
    buf_text(body, "</h1><p>");
    buf_text(body, info->meaning);
    buf_text(body, "</p><p>Code <code>");
    buf_text(body, info->code);
    buf_text(body, "</code>, HTTP status ");
    buf_i64(body, info->status);
    buf_text(body, ".</p></body></html>\n");
}

bool problem_page(struct str code, const struct request *request, struct answer *answer) {
    char name[64];
    if (code.len == 0 || code.len >= sizeof name || memchr(code.ptr, '\0', code.len) != NULL)
        return false;
    memcpy(name, code.ptr, code.len);
    name[code.len] = '\0';
    enum problem problem = problem_by_code(name);
    if (problem == PROBLEM_NONE)
        return false;
    const struct problem_info *info = problem_info(problem);
    answer->status = 200;
    answer_header(answer, "Cache-Control", STR("public, max-age=3600"));
    buf_reset(&answer->body);
    if (request_accepts(request, "Accept", "text/html") >
        request_accepts(request, "Accept", JSON_TYPE)) {
        answer->content_type = "text/html; charset=utf-8";
        write_page(info, &answer->body);
        return true;
    }
    answer->content_type = JSON_TYPE;
    write_type(&answer->body, info);
    member(&answer->body, "code", str_of(info->code));
    member(&answer->body, "meaning", str_of(info->meaning));
    buf_char(&answer->body, '}');
    return true;
}
