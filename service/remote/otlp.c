/* The thread that sends OpenTelemetry spans to a collector by libcurl, in batches with retries;
 * also the check of the KAMD_OTLP_ settings. */
#include "remote/otlp.h"

#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"
#include "core/log.h"
#include "core/metrics.h"
#include "core/random.h"
#include "core/trace.h"
#include "easy.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM 4096 /* spans that may wait */
#define BATCH 512
#define BODY_MAX ((size_t)BATCH * (TRACE_SPAN_TEXT + 1) + 4096)
#define ANSWER_MAX 65536
#define TICK_MS 50
#define GATHER_MS 1000
#define CONNECT_MS 3000
#define TOTAL_MS 10000
#define TRIES 6
#define PAUSE_FIRST_MS 1000
#define RETRY_AFTER_MOST_S 60
#define STOP_MS 2000
#define STOP_PAUSE_MS 250

struct otlp {
    struct easy_limits limits;
    CURL *easy;
    struct curl_slist *headers;
    struct buf url, head, body, answer;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, ended, failing;
    atomic_bool cut;
};

/* ---- settings ---- */

static bool bad(struct err *err, const char *setting, const char *sentence) {
    return err_add(err, PROBLEM_VALIDATION, ERR_PARAMETER(setting), "malformed", "%s %s", setting,
                   sentence);
}

static void url_free(CURLU **url) { curl_url_cleanup(*url); }

static bool is_endpoint(const char *text) {
    CURLU *url CLEANUP(url_free) = curl_url();
    char *user = NULL, *query = NULL;
    bool fine = (str_starts(str_of(text), "http://") || str_starts(str_of(text), "https://")) &&
                url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_OK &&
                curl_url_get(url, CURLUPART_QUERY, &query, 0) != CURLUE_OK;
    curl_free(user);
    curl_free(query);
    return fine;
}

/* One "name=value" as a header line. */
static bool header_line(struct str pair, struct buf *ret) {
    struct str name;
    size_t len = 0, from;
    if (!str_split(&pair, '=', &name) || pair.ptr == NULL || str_trim(name).len == 0)
        return false;
    buf_put(ret, str_trim(name));
    buf_text(ret, ": ");
    from = ret->len;
    char *value = buf_extend(ret, str_trim(pair).len);
    if (value == NULL || !percent_decode(str_trim(pair), false, value, &len))
        return false;
    ret->len = from + len;
    ret->ptr[ret->len] = '\0';
    for (size_t i = 0; i < ret->len; i++)
        if (ret->ptr[i] < ' ' || ret->ptr[i] > '~')
            return false;
    return true;
}

static bool add_header(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

static bool read_headers(struct str text, struct curl_slist **list) {
    struct str pair;
    while (text.len > 0 && str_split(&text, ',', &pair)) {
        struct buf line CLEANUP(buf_release) = {0};
        buf_init(&line, 8192);
        if (!header_line(pair, &line) || !add_header(list, line.ptr))
            return false;
    }
    return true;
}

bool otlp_check(const struct otlp_options *options, struct err *err) {
    struct curl_slist *list = NULL;
    bool fine = true;
    if (options->endpoint[0] != '\0' && !is_endpoint(options->endpoint))
        fine = bad(err, "KAMD_OTLP_ENDPOINT",
                   "must be http:// or https://, a host and a port, without user or query.");
    if (!read_headers(str_of(options->headers), &list))
        fine = bad(err, "KAMD_OTLP_HEADERS",
                   "must be name=value pairs, separated by commas, values percent-encoded.");
    curl_slist_free_all(list);
    return fine;
}

/* ---- one batch ---- */

static size_t on_body(char *bytes, size_t size, size_t n, void *arg) {
    struct buf *answer = arg;
    buf_add(answer, bytes, size * n);
    return size * n;
}

/* How many spans of an accepted batch the collector did not take. */
static size_t refused_of(const struct otlp *otlp, size_t n) {
    struct err err CLEANUP(err_release) = ERR_INIT;
    jv *doc CLEANUP(jv_unref) = NULL;
    if (otlp->answer.len == 0 || !buf_ok(&otlp->answer) ||
        !json_read(buf_str(&otlp->answer), JSON_TOKENS, &doc, &err))
        return 0;
    const jv *count = jv_get(jv_get(doc, "partialSuccess"), "rejectedSpans");
    int64_t refused = jv_int(count); /* a number, or, as protobuf's mapping has it, text */
    if (jv_kind(count) == JV_TEXT && !str_to_i64(jv_text(count), &refused))
        return 0;
    return refused < 0 ? 0 : (size_t)refused > n ? n : (size_t)refused;
}

enum verdict { TAKEN, AGAIN, REFUSED };

static enum verdict judge(CURLcode code, long status) {
    if (code != CURLE_OK)
        return AGAIN;
    if (status >= 200 && status <= 299)
        return TAKEN;
    return status == 429 || (status >= 502 && status <= 504) ? AGAIN : REFUSED;
}

static void report(struct otlp *otlp, enum verdict verdict, CURLcode code, long status) {
    bool failing = verdict != TAKEN;
    if (failing == otlp->failing)
        return;
    otlp->failing = failing;
    if (failing)
        LOG(LOG_WARN, "spans_not_sent",
            LOG_S("cause", code == CURLE_OK ? "" : curl_easy_strerror(code)),
            LOG_I("status", status));
    else
        LOG(LOG_INFO, "spans_sent_again");
}

/* Forgets all of the transfer before, but connections: without that, libcurl 8.14 loses the memory
 * of each name that it could not connect to. */
static bool begin_anew(struct otlp *otlp) {
    CURL *easy = otlp->easy;
    curl_easy_reset(easy);
    buf_reset(&otlp->answer);
    return easy_confine(easy, &otlp->limits) && easy_text(easy, CURLOPT_URL, otlp->url.ptr) &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, otlp->headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, &otlp->answer) == CURLE_OK &&
           easy_long(easy, CURLOPT_POST, 1);
}

static enum verdict post(struct otlp *otlp, int64_t *ret_asked_ms) {
    long status = 0;
    curl_off_t after = 0;
    if (!begin_anew(otlp) ||
        curl_easy_setopt(otlp->easy, CURLOPT_POSTFIELDS, otlp->body.ptr) != CURLE_OK ||
        curl_easy_setopt(otlp->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)otlp->body.len) !=
            CURLE_OK)
        return AGAIN;
    CURLcode code = curl_easy_perform(otlp->easy);
    curl_easy_getinfo(otlp->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(otlp->easy, CURLINFO_RETRY_AFTER, &after);
    *ret_asked_ms = 1000 * (after < RETRY_AFTER_MOST_S ? after : RETRY_AFTER_MOST_S);
    enum verdict verdict = judge(code, status);
    report(otlp, verdict, code, status);
    return verdict;
}

/* False once nothing more can be waited for. */
static bool pause_for(struct otlp *otlp, int64_t ms) {
    pthread_mutex_lock(&otlp->lock);
    bool was_stopping = otlp->stopping;
    deadline when = deadline_in_ms(was_stopping && ms > STOP_PAUSE_MS ? STOP_PAUSE_MS : ms);
    struct timespec at = {.tv_sec = when / 1000000, .tv_nsec = when % 1000000 * 1000};
    while (otlp->stopping == was_stopping && !atomic_load(&otlp->cut) && deadline_left_ms(when) > 0)
        pthread_cond_timedwait(&otlp->wake, &otlp->lock, &at);
    pthread_mutex_unlock(&otlp->lock);
    return !atomic_load(&otlp->cut);
}

static void send_batch(struct otlp *otlp) {
    int64_t pause_ms = PAUSE_FIRST_MS, asked_ms = 0;
    buf_reset(&otlp->body);
    buf_put(&otlp->body, buf_str(&otlp->head));
    size_t n = trace_take(&otlp->body, BATCH);
    buf_text(&otlp->body, "]}]}]}");
    if (n == 0)
        return;
    enum verdict verdict = buf_ok(&otlp->body) ? post(otlp, &asked_ms) : REFUSED;
    for (int i = 1; verdict == AGAIN && i < TRIES; i++) {
        int64_t jitter = (int64_t)random_below(&randomness_system, (uint64_t)pause_ms / 4);
        if (!pause_for(otlp, asked_ms > pause_ms ? asked_ms : pause_ms + jitter))
            break;
        pause_ms *= 2;
        verdict = post(otlp, &asked_ms);
    }
    size_t refused = verdict == TAKEN ? refused_of(otlp, n) : verdict == REFUSED ? n : 0;
    metrics_count(METRIC_TRACE_SPANS, TRACE_REFUSED, refused);
    metrics_count(METRIC_TRACE_SPANS, verdict == AGAIN ? TRACE_DROPPED : TRACE_SENT, n - refused);
}

/* ---- the thread ---- */

static void drop_rest(struct otlp *otlp) {
    size_t dropped = 0, n;
    do {
        buf_reset(&otlp->body);
        n = trace_take(&otlp->body, BATCH);
        dropped += n;
    } while (n > 0);
    metrics_count(METRIC_TRACE_SPANS, TRACE_DROPPED, dropped);
    if (dropped > 0)
        LOG(LOG_WARN, "spans_dropped", LOG_I("spans", dropped));
}

static bool is_stopping(struct otlp *otlp) {
    pthread_mutex_lock(&otlp->lock);
    bool stopping = otlp->stopping;
    pthread_mutex_unlock(&otlp->lock);
    return stopping;
}

static void *run(void *arg) {
    struct otlp *otlp = arg;
    deadline next = deadline_in_ms(GATHER_MS);
    while (!is_stopping(otlp)) {
        if (trace_waiting() < BATCH)
            pause_for(otlp, TICK_MS);
        if (trace_waiting() < BATCH && deadline_left_ms(next) > 0)
            continue;
        send_batch(otlp);
        next = deadline_in_ms(GATHER_MS);
    }
    while (trace_waiting() > 0 && !atomic_load(&otlp->cut))
        send_batch(otlp);
    drop_rest(otlp);
    pthread_mutex_lock(&otlp->lock);
    otlp->ended = true;
    pthread_cond_broadcast(&otlp->wake);
    pthread_mutex_unlock(&otlp->lock);
    return NULL;
}

/* ---- start and stop ---- */

static void put_attribute(struct buf *into, const char *key, const char *value) {
    buf_format(into, "{\"key\":\"%s\",\"value\":{\"stringValue\":", key);
    buf_json(into, str_of(value));
    buf_text(into, "}}");
}

/* What a batch begins with: who sends it. */
static void put_head(struct buf *into, const char *version) {
    char host[256] = "", instance[UUID_TEXT];
    struct uuid id = uuid_v7(&clock_system, &randomness_system);
    uuid_text(&id, instance);
    gethostname(host, sizeof host - 1);
    buf_text(into, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    put_attribute(into, "service.name", "kamd");
    buf_char(into, ',');
    put_attribute(into, "service.version", version);
    buf_char(into, ',');
    put_attribute(into, "service.instance.id", instance);
    buf_char(into, ',');
    put_attribute(into, "host.name", str_is_utf8(str_of(host)) ? host : "");
    buf_text(into, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"kamd\",\"version\":");
    buf_json(into, str_of(version));
    buf_text(into, "},\"spans\":[");
}

static bool set_up(struct otlp *otlp, const struct otlp_options *options) {
    struct str endpoint = str_of(options->endpoint);
    while (str_ends(endpoint, "/"))
        endpoint.len--;
    buf_put(&otlp->url, endpoint);
    buf_text(&otlp->url, "/v1/traces");
    put_head(&otlp->head, options->version);
    otlp->limits = (struct easy_limits){.allow_http = true,
                                        .connect_ms = CONNECT_MS,
                                        .total_ms = TOTAL_MS,
                                        .agent = "kamd-otlp/1",
                                        .ca_file = options->ca_file,
                                        .stop = &otlp->cut};
    otlp->easy = curl_easy_init();
    return otlp->easy != NULL && buf_ok(&otlp->url) && buf_ok(&otlp->head) &&
           add_header(&otlp->headers, "Content-Type: application/json") &&
           add_header(&otlp->headers, "Expect:") &&
           read_headers(str_of(options->headers), &otlp->headers) && begin_anew(otlp);
}

static void otlp_free(struct otlp *otlp) {
    curl_easy_cleanup(otlp->easy);
    curl_slist_free_all(otlp->headers);
    buf_release(&otlp->url);
    buf_release(&otlp->head);
    buf_release(&otlp->body);
    buf_release(&otlp->answer);
    pthread_cond_destroy(&otlp->wake);
    pthread_mutex_destroy(&otlp->lock);
    trace_close();
    free(otlp);
}

static struct otlp *otlp_new(void) {
    struct otlp *otlp = calloc(1, sizeof *otlp);
    pthread_condattr_t attr;
    if (otlp == NULL)
        return NULL;
    buf_init(&otlp->url, 4096);
    buf_init(&otlp->head, 4096);
    buf_init(&otlp->body, BODY_MAX);
    buf_init(&otlp->answer, ANSWER_MAX);
    atomic_init(&otlp->cut, false);
    pthread_mutex_init(&otlp->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&otlp->wake, &attr);
    pthread_condattr_destroy(&attr);
    return otlp;
}

bool otlp_start(const struct otlp_options *options, struct otlp **ret, struct err *err) {
    if (options->endpoint[0] == '\0') {
        *ret = NULL;
        return true;
    }
    if (!otlp_check(options, err))
        return false;
    struct otlp *otlp = otlp_new();
    if (otlp == NULL)
        return err_memory(err);
    if (!set_up(otlp, options) || !trace_open(ROOM, options->per_mille) ||
        pthread_create(&otlp->thread, NULL, run, otlp) != 0) {
        otlp_free(otlp);
        return err_memory(err);
    }
    *ret = otlp;
    return true;
}

void otlp_stop(struct otlp *otlp) {
    if (otlp == NULL)
        return;
    deadline when = deadline_in_ms(STOP_MS);
    struct timespec at = {.tv_sec = when / 1000000, .tv_nsec = when % 1000000 * 1000};
    pthread_mutex_lock(&otlp->lock);
    otlp->stopping = true;
    pthread_cond_broadcast(&otlp->wake);
    while (!otlp->ended && deadline_left_ms(when) > 0)
        pthread_cond_timedwait(&otlp->wake, &otlp->lock, &at);
    atomic_store(&otlp->cut, true);
    pthread_cond_broadcast(&otlp->wake);
    pthread_mutex_unlock(&otlp->lock);
    pthread_join(otlp->thread, NULL);
    otlp_free(otlp);
}
