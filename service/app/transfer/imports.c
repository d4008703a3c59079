/* Creates, lists, starts and reverts imports, takes their files in parts, and shows which lines
 * were refused. A worker does the import itself (import_run.c) and the reverting
 * (import_revert.c). */
#include "app/imports.h"

#include "app/query.h"
#include "base/csv.h"
#include "base/cursor.h"
#include "base/json.h"
#include "base/operation.h"
#include "base/write_once.h"
#include "domain/check.h"
#include "domain/decode.h"
#include "transfer/export_csv.h"

#include <stdio.h>

#define IMPORT_SQL                                                                                 \
    "select i.id, i.created_at, i.updated_at, i.system, i.resource, i.format, i.dry_run, "         \
    "i.source, i.status, i.at_byte, i.size, i.at_line, i.counts, i.failure, (select count(*) "     \
    "from "                                                                                        \
    "import_part p where p.import_id = i.id) from import i where is_callers(i.actor, i.reach) "

static void import_write(struct tx *tx, size_t slot, size_t row, struct buf *ret) {
    static const struct field fields[] = {
        {.name = "id", .type = FIELD_ID},           {.name = "created_at", .type = FIELD_TIME},
        {.name = "updated_at", .type = FIELD_TIME}, {.name = "system", .type = FIELD_TEXT},
        {.name = "resource", .type = FIELD_TEXT},   {.name = "format", .type = FIELD_TEXT},
        {.name = "dry_run", .type = FIELD_BOOL},    {.name = "source", .type = FIELD_TEXT},
        {.name = "status", .type = FIELD_TEXT},     {.name = "bytes_done", .type = FIELD_INT},
        {.name = "bytes_total", .type = FIELD_INT}, {.name = "lines", .type = FIELD_INT},
        {.name = "counts", .type = FIELD_MAP},      {.name = "failure", .type = FIELD_TEXT},
        {.name = "parts", .type = FIELD_INT},
    };
    write_row(tx, slot, row, &SHAPE_OF(fields), ret);
}

static bool import_answer(struct tx *tx, struct str id, struct outcome *outcome, struct err *err) {
    size_t slot = tx_query(tx, IMPORT_SQL "and i.id = $1::uuid", &id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such import.");
    import_write(tx, slot, 0, &outcome->body);
    return true;
}

/* ---- making one ---- */

/* LinkedIn's export of a member's own connections (004-30): no scraping, a file that the member
 * asked for. */
#define LINKEDIN                                                                                   \
    "{\"First Name\":\"given_name\",\"Last Name\":\"family_name\",\"URL\":\"external_id\","        \
    "\"Email Address\":\"email\",\"Position\":\"title\",\"Company\":\"\",\"Connected On\":\"\"}"

/* What GET /v1/{resource}/export gave, of another kamd or an earlier time: its ids are the external
 * ids of its system. */
static struct str exported_columns(struct action *action, const struct resource *resource,
                                   bool csv) {
    CLEANUP(buf_release) struct buf text;
    buf_init(&text, 1 << 16);
    export_columns(resource, csv, &text);
    return buf_ok(&text) ? arena_str(action->arena, buf_str(&text)) : STR_ABSENT;
}

struct making {
    bool exported;
    const jv *clean;
    struct str columns, values, content;
    const struct resource *resource;
};

static bool put_part(struct tx *tx, struct str id, struct str n, struct str content,
                     struct err *err) {
    unsigned char hash[CRYPTO_SHA256];
    CLEANUP(buf_release) struct buf hex;
    CLEANUP(buf_release) struct buf digest;
    buf_init(&hex, 2 * content.len + 3);
    buf_init(&digest, 2 * CRYPTO_SHA256 + 1);
    buf_text(&hex, "\\x");
    buf_hex(&hex, content.ptr, content.len);
    sha256(content, hash);
    buf_hex(&digest, hash, CRYPTO_SHA256);
    if (!buf_ok(&hex) || !buf_ok(&digest))
        return err_memory(err);
    struct str params[] = {id, n, buf_str(&hex), buf_str(&digest)};
    tx_query(tx,
             "insert into import_part as p (import_id, n, content, digest) values ($1::uuid, "
             "$2::int, $3::bytea, $4) on conflict (import_id, n) do update set content = "
             "excluded.content, digest = excluded.digest where p.digest <> excluded.digest",
             params, 4);
    return true;
}

static bool making_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                        struct err *err) {
    const struct making *making = arg;
    struct uuid uuid = uuid_v7(action->app->clock, action->app->randomness);
    char id[UUID_TEXT];
    uuid_text(&uuid, id);
    const char *presets = arena_format(
        action->arena, "{\"columns\":%.*s,\"values\":%.*s,\"exported\":%s}",
        STR_ARG(making->columns), STR_ARG(making->values), making->exported ? "true" : "false");
    struct str system = jv_text(jv_get(making->clean, "system"));
    struct str params[] = {str_of(id),
                           system,
                           str_of(making->resource->name),
                           jv_text(jv_get(making->clean, "format")),
                           jv_bool(jv_get(making->clean, "dry_run")) ? STR("true") : STR("false"),
                           str_of(presets),
                           jv_text(jv_get(making->clean, "source")),
                           str_of(action->who->id),
                           str_of(action->who->actor),
                           str_of(role_name(action->who->role)),
                           str_of(action->who->user_id)};
    if (!presets)
        return err_memory(err);
    tx_query(tx,
             "insert into import (id, system, resource, format, dry_run, presets, source, who, "
             "actor, role, user_id) values ($1::uuid, $2, $3, $4, $5::boolean, $6::jsonb, $7, $8, "
             "$9, $10, $11)",
             params, COUNT_OF(params));
    if (making->content.ptr && !put_part(tx, params[0], STR("1"), making->content, err))
        return false;
    outcome->status = 201;
    snprintf(outcome->location, sizeof outcome->location, "/v1/imports/%s", id);
    return import_answer(tx, params[0], outcome, err);
}

const char *const import_formats[] = {"csv", "ndjson", NULL};
const char *const import_presets[] = {"linkedin", "export", NULL};

bool import_create(struct action *action, struct outcome *outcome, struct err *err) {
    const jv *doc = action->doc;
    static const struct field fields[] = {
        {.name = "resource", .type = FIELD_TEXT, .flags = F_REQUIRED, .min = 1, .max = 64},
        {.name = "system", .type = FIELD_TEXT, .max = 64, .check = check_slug},
        {.name = "format",
         .type = FIELD_ENUM,
         .flags = F_NOT_NULL,
         .values = import_formats,
         .preset = "\"csv\""},
        {.name = "dry_run", .type = FIELD_BOOL},
        {.name = "preset", .type = FIELD_ENUM, .values = import_presets},
        {.name = "columns", .type = FIELD_MAP, .flags = F_UNCHECKED, .max = 256},
        {.name = "values", .type = FIELD_MAP, .flags = F_UNCHECKED, .max = 100},
        {.name = "source", .type = FIELD_TEXT, .max = 500},
        {.name = "content", .type = FIELD_TEXT, .min = 1, .max = 1 << 20},
    };
    static const struct shape shape = {fields, COUNT_OF(fields)};
    CLEANUP(jv_unref) jv *clean = NULL;
    if (!decode_shape(&shape, doc, "", &clean, err))
        return false;
    bool linkedin = str_is(jv_text(jv_get(clean, "preset")), "linkedin");
    bool exported = str_is(jv_text(jv_get(clean, "preset")), "export");
    struct making making = {
        .exported = exported, .clean = clean, .content = jv_text(jv_get(clean, "content"))};
    making.resource = resource_by_path(jv_text(jv_get(clean, "resource")));
    if (!making.resource || (making.resource->flags & R_SYNC) == 0 ||
        (linkedin && making.resource->id != RES_CONTACT))
        return err_add(err, PROBLEM_VALIDATION, ERR_POINTER("/resource"), "unknown_resource",
                       "There is no such resource to import%s.", linkedin ? " from LinkedIn" : "");
    if (!jv_get(clean, "system"))
        jv_set(clean, "system", jv_new_text(linkedin ? STR("linkedin") : STR("import")));
    making.columns = jv_get(clean, "columns") ? json_param(action, jv_get(clean, "columns"))
                     : linkedin               ? STR(LINKEDIN)
                     : exported               ? exported_columns(action, making.resource,
                                                                 str_is(jv_text(jv_get(clean, "format")), "csv"))
                                              : STR("{}");
    making.values =
        jv_get(clean, "values") ? json_param(action, jv_get(clean, "values")) : STR("{}");
    return making.columns.ptr && making.values.ptr
               ? write_once(action, making_work, &making, outcome, err)
               : err_memory(err);
}

/* ---- reading them ---- */

bool import_get(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    CLEANUP(tx_end) struct tx *tx = NULL;
    return read_begin(action, &tx, err) && import_answer(tx, id, outcome, err);
}

bool import_list(struct action *action, struct outcome *outcome, struct err *err) {
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct page page = {
        .list = STR("imports"), .key_columns = {1, 0}, .n_keys = 2, .write = import_write};
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {page.keys[0], page.keys[1], page_limit(action, &page)};
    size_t slot = tx_query(tx,
                           IMPORT_SQL "and ($1::timestamptz is null or (i.created_at, i.id) < "
                                      "($1::timestamptz, $2::uuid)) order by i.created_at desc, "
                                      "i.id desc limit $3::int",
                           values, 3);
    if (!tx_flush(tx, err))
        return false;
    page_write(action, &page, tx, slot, outcome);
    return true;
}

#define ERRORS_SQL                                                                                 \
    "select e.line, e.external_id, e.errors from import_error e where e.import_id = $1::uuid"      \
    " and ($2::bigint is null or e.line > $2::bigint) order by e.line limit $3::int"
enum { ERROR_LINE, ERROR_EXTERNAL_ID, ERROR_LIST };

/* As CSV: everything, for a person who mends the file. */
static void errors_csv(struct tx *tx, size_t slot, struct buf *ret) {
    buf_text(ret, "line,external_id,errors\r\n");
    for (size_t i = 0; i < tx_rows(tx, slot); i++) {
        struct str external_id = tx_value(tx, slot, i, ERROR_EXTERNAL_ID);
        csv_cell(tx_value(tx, slot, i, ERROR_LINE), ret);
        buf_char(ret, ',');
        csv_cell(external_id.ptr ? external_id : STR(""), ret);
        buf_char(ret, ',');
        csv_cell(tx_value(tx, slot, i, ERROR_LIST), ret);
        buf_text(ret, "\r\n");
    }
}

bool import_errors(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    static const struct field fields[] = {
        {.name = "line", .type = FIELD_INT},
        {.name = "external_id", .type = FIELD_TEXT},
        {.name = "errors", .type = FIELD_DOCS},
    };
    CLEANUP(tx_end) struct tx *tx = NULL;
    struct str list = str_of(arena_format(action->arena, "errors|%.*s", STR_ARG(id)));
    struct page page = {
        .list = list, .key_columns = {ERROR_LINE}, .n_keys = 1, .shape = &SHAPE_OF(fields)};
    bool csv = str_is(action_query(action, "format"), "csv");
    if (!page_read(action, &page, err) || !read_begin(action, &tx, err))
        return false;
    struct str values[] = {id, page.keys[0], csv ? STR("100000") : page_limit(action, &page)};
    size_t there = tx_query(
        tx, "select 1 from import i where i.id = $1::uuid and is_callers(i.actor, i.reach)", values,
        1);
    size_t slot = tx_query(tx, ERRORS_SQL, values, 3);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, there) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such import.");
    if (csv) {
        errors_csv(tx, slot, &outcome->body);
        outcome->content_type = "text/csv; charset=utf-8";
        return true;
    }
    page_write(action, &page, tx, slot, outcome);
    return true;
}

/* ---- parts, start, revert ---- */

struct step {
    struct str id, n, content;
    const char *from, *to, *kind; /* statuses, and the operation's kind */
};

/* The import, locked; 404, or 409 where its status does not fit. */
static bool lock_import(struct tx *tx, struct str id, const char *status, struct err *err) {
    size_t slot = tx_query(tx,
                           "select i.status, i.dry_run from import i where i.id = $1::uuid and "
                           "is_callers(i.actor, i.reach) for update",
                           &id, 1);
    if (!tx_flush(tx, err))
        return false;
    if (tx_rows(tx, slot) == 0)
        return err_set(err, PROBLEM_NOT_FOUND, "There is no such import.");
    if (!str_is(tx_value(tx, slot, 0, 0), status))
        return err_set(err, PROBLEM_CONFLICT, "The import is %s; this needs one that is %s.",
                       tx_value(tx, slot, 0, 0).ptr, status);
    return true;
}

static bool part_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                      struct err *err) {
    const struct step *step = arg;
    (void)action;
    return lock_import(tx, step->id, "open", err) &&
           put_part(tx, step->id, step->n, step->content, err) &&
           import_answer(tx, step->id, outcome, err);
}

bool import_part_put(struct action *action, struct outcome *outcome, struct err *err) {
    struct str n = action_arg(action, "n"), content = action->body;
    int64_t number;
    if (!str_to_i64(n, &number) || number < 1 || number > 100000)
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_PARAMETER("n"), "out_of_range",
                       "must be a number from 1 to 100000");
    if (content.len == 0)
        return err_add(err, PROBLEM_INVALID_REQUEST, ERR_POINTER(""), "required",
                       "the part is empty");
    struct step step = {.id = action_arg(action, "id"), .n = n, .content = content};
    return write_once(action, part_work, &step, outcome, err);
}

static bool queue_work(struct action *action, struct tx *tx, void *arg, struct outcome *outcome,
                       struct err *err) {
    const struct step *step = arg;
    struct str params[] = {step->id, str_of(step->to)};
    const char *request =
        arena_format(action->arena, "{\"import_id\": \"%.*s\"}", STR_ARG(step->id));
    if (!request)
        return err_memory(err);
    if (!lock_import(tx, step->id, step->from, err))
        return false;
    tx_query(tx,
             "with parts as (select n, sum(length(content)) over (order by n) - length(content) as "
             "start_byte, row_number() over (order by n) as nth from import_part where import_id = "
             "$1::uuid) update import_part p set start_byte = s.start_byte from parts s where "
             "p.import_id = $1::uuid and p.n = s.n",
             params, 1);
    size_t slot = tx_query(
        tx,
        "update import i set status = $2, updated_at = now(), size = coalesce(s.size, 0) from "
        "(select sum(length(content)) as size, count(*) as n, max(n) as top from import_part where "
        "import_id = $1::uuid) s where i.id = $1::uuid returning s.n, s.top",
        params, 2);
    if (!tx_flush(tx, err))
        return false;
    if (tx_int(tx, slot, 0, 0) == 0 || tx_int(tx, slot, 0, 0) != tx_int(tx, slot, 0, 1))
        return err_set(err, PROBLEM_CONFLICT,
                       "Parts are missing: there must be 1 to n without a gap.");
    return operation_queue(
        action, tx, &(const struct operation_request){step->kind, str_of(request)}, outcome, err);
}

bool import_start(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    struct step step = {.id = id, .from = "open", .to = "queued", .kind = "import"};
    return write_once(action, queue_work, &step, outcome, err);
}

bool import_revert(struct action *action, struct outcome *outcome, struct err *err) {
    struct str id = action_arg(action, "id");
    struct step step = {.id = id, .from = "succeeded", .to = "reverting", .kind = "import_revert"};
    return write_once(action, queue_work, &step, outcome, err);
}
