/* Sends many webhooks at once from one thread, by libcurl's multi interface. libcurl's open-socket
 * callback checks each resolved address against the policy, to prevent SSRF. */
#include "remote/post.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADERS_READ (64 * 1024)
#define BODY_READ (64 * 1024)
#define IDLE_SECONDS 60L
#define LIFE_SECONDS 600L /* so that a name that moved is followed */

struct transfer {
    struct poster *poster;
    struct transfer *next_free;
    CURL *easy;
    struct curl_slist *headers;
    void *tag;
    int64_t started_us;
    bool flying;
    bool refused; /* by the judgement of the address */
    bool headers_cut;
    bool body_cut;
    size_t headers_read;
    size_t body_read;
    size_t kept;
    char excerpt[POST_EXCERPT];
};

struct poster {
    struct poster_options options;
    CURLM *multi;
    struct transfer *transfers;
    struct transfer *free;
    size_t in_flight;
};

bool post_start(void) { return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK; }

/* ---- what curl asks ----------------------------------------------------------------------------
 */

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *to) {
    struct transfer *transfer = arg;

    if (purpose != CURLSOCKTYPE_IPCXN ||
        !target_address_ok(transfer->poster->options.policy, &to->addr)) {
        transfer->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static size_t on_header(char *bytes, size_t size, size_t n, void *arg) {
    struct transfer *transfer = arg;

    (void)bytes;
    transfer->headers_read += size * n;
    transfer->headers_cut = transfer->headers_read > HEADERS_READ;
    return transfer->headers_cut ? 0 : size * n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg) {
    struct transfer *transfer = arg;
    size_t len = size * n;
    size_t room = POST_EXCERPT - transfer->kept;

    memcpy(transfer->excerpt + transfer->kept, bytes, len < room ? len : room);
    transfer->kept += len < room ? len : room;
    transfer->body_read += len;
    transfer->body_cut = transfer->body_read > BODY_READ;
    return transfer->body_cut ? 0 : len;
}

/* ---- set up ------------------------------------------------------------------------------------
 */

static bool set_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

static bool set_text(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

/* What keeps a transfer from going anywhere else than to the address that was judged. */
static bool confine(CURL *easy, const struct poster_options *options) {
    return set_text(easy, CURLOPT_PROTOCOLS_STR,
                    options->policy->allow_http ? "http,https" : "https") &&
           set_text(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https") &&
           set_long(easy, CURLOPT_FOLLOWLOCATION, 0) &&
           /* Otherwise http_proxy of the environment holds, and only the proxy's address is judged.
            */
           set_text(easy, CURLOPT_PROXY, "") && set_text(easy, CURLOPT_NOPROXY, "*") &&
           set_long(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1) &&
           set_long(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED) &&
           set_long(easy, CURLOPT_SSL_VERIFYPEER, 1) && set_long(easy, CURLOPT_SSL_VERIFYHOST, 2) &&
           set_long(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2) &&
           (options->ca_file == NULL || options->ca_file[0] == '\0' ||
            set_text(easy, CURLOPT_CAINFO, options->ca_file));
}

static bool bound(CURL *easy, const struct poster_options *options) {
    return set_long(easy, CURLOPT_NOSIGNAL, 1) &&
           set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, options->connect_ms) &&
           set_long(easy, CURLOPT_TIMEOUT_MS, options->total_ms) &&
           set_long(easy, CURLOPT_MAXAGE_CONN, IDLE_SECONDS) &&
           set_long(easy, CURLOPT_MAXLIFETIME_CONN, LIFE_SECONDS) &&
           /* A name server that hangs must not hold the other transfers. */
           set_long(easy, CURLOPT_QUICK_EXIT, 1);
}

static bool attend(struct transfer *transfer) {
    CURL *easy = transfer->easy;

    return curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer) == CURLE_OK &&
           set_text(easy, CURLOPT_USERAGENT, transfer->poster->options.agent) &&
           set_long(easy, CURLOPT_POST, 1);
}

/* Forgets all of the transfer before, but connections: without that, libcurl 8.14 loses the memory
 * of each name that it could not connect to. */
static bool begin_anew(struct transfer *transfer) {
    const struct poster_options *options = &transfer->poster->options;

    curl_easy_reset(transfer->easy);
    return confine(transfer->easy, options) && bound(transfer->easy, options) && attend(transfer);
}

static bool transfer_open(struct poster *poster, struct transfer *transfer) {
    *transfer = (struct transfer){.poster = poster, .easy = curl_easy_init()};
    return transfer->easy != NULL;
}

static bool poster_init(struct poster *poster) {
    size_t n = poster->options.in_flight;

    poster->multi = curl_multi_init();
    poster->transfers = calloc(n, sizeof(*poster->transfers));
    if (poster->multi == NULL || poster->transfers == NULL)
        return false;
    curl_multi_setopt(poster->multi, CURLMOPT_MAXCONNECTS, (long)n);
    for (size_t i = 0; i < n; i++) {
        if (!transfer_open(poster, &poster->transfers[i]))
            return false;
        poster->transfers[i].next_free = poster->free;
        poster->free = &poster->transfers[i];
    }
    return true;
}

bool poster_open(const struct poster_options *options, struct poster **ret, struct err *err) {
    struct poster *poster = calloc(1, sizeof(*poster));

    if (poster == NULL)
        return err_memory(err);
    poster->options = *options;
    if (!poster_init(poster)) {
        poster_close(poster);
        return err_memory(err);
    }
    *ret = poster;
    return true;
}

void poster_close(struct poster *poster) {
    if (poster == NULL)
        return;
    poster_abort(poster);
    for (size_t i = 0; poster->transfers != NULL && i < poster->options.in_flight; i++)
        curl_easy_cleanup(poster->transfers[i].easy);
    curl_multi_cleanup(poster->multi);
    free(poster->transfers);
    free(poster);
}

size_t poster_in_flight(const struct poster *poster) { return poster->in_flight; }

/* ---- send --------------------------------------------------------------------------------------
 */

static bool header_add(struct curl_slist **list, struct str header, struct err *err) {
    char line[2048];

    if (header.len >= sizeof(line))
        return err_set(err, PROBLEM_VALIDATION, "A header is too long.");
    for (size_t i = 0; i < header.len; i++)
        if ((unsigned char)header.ptr[i] < ' ' || header.ptr[i] == 0x7f)
            return err_set(err, PROBLEM_VALIDATION, "A header holds a control character.");
    memcpy(line, header.ptr, header.len);
    line[header.len] = '\0';
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer == NULL)
        return err_memory(err);
    *list = longer;
    return true;
}

static bool headers_make(const struct post_request *request, struct curl_slist **ret,
                         struct err *err) {
    struct curl_slist *list = NULL;
    /* "Expect:" takes away curl's own, which would cost a round trip or a second. */
    bool ok = header_add(&list, STR("Expect:"), err);

    for (size_t i = 0; ok && i < request->n_headers; i++)
        ok = header_add(&list, request->headers[i], err);
    if (!ok) {
        curl_slist_free_all(list);
        return false;
    }
    *ret = list;
    return true;
}

/* HTTP/2 where TLS offers it. What goes to one receiver then shares a connection, so a second
 * transfer waits until it is known whether the first one's can be shared. */
static bool speak(CURL *easy, const char *url) {
    bool tls = strncasecmp(url, "https:", 6) == 0;

    return set_long(easy, CURLOPT_HTTP_VERSION,
                    tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1) &&
           set_long(easy, CURLOPT_PIPEWAIT, tls);
}

static bool transfer_start(struct transfer *transfer, const struct post_request *request) {
    char url[2048];
    CURL *easy = transfer->easy;

    if (request->url.len >= sizeof(url))
        return false;
    memcpy(url, request->url.ptr, request->url.len);
    url[request->url.len] = '\0';
    return begin_anew(transfer) && set_text(easy, CURLOPT_URL, url) && speak(easy, url) &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.ptr) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len) ==
               CURLE_OK &&
           curl_multi_add_handle(transfer->poster->multi, easy) == CURLM_OK;
}

static void transfer_reset(struct transfer *transfer) {
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    transfer->refused = transfer->headers_cut = transfer->body_cut = false;
    transfer->headers_read = transfer->body_read = transfer->kept = 0;
}

bool poster_send(struct poster *poster, const struct post_request *request, struct err *err) {
    struct transfer *transfer = poster->free;

    if (transfer == NULL)
        return err_set(err, PROBLEM_OVERLOADED, "Too many webhooks are in flight.");
    /* Settings may have become stricter since the URL was registered. */
    if (!webhook_url_check(poster->options.policy, request->url, "/url", err) ||
        !headers_make(request, &transfer->headers, err))
        return false;
    transfer->tag = request->tag;
    transfer->started_us = clock_mono(&clock_system);
    if (!transfer_start(transfer, request)) {
        transfer_reset(transfer);
        return err_memory(err);
    }
    transfer->flying = true;
    poster->free = transfer->next_free;
    poster->in_flight++;
    return true;
}

/* ---- results -----------------------------------------------------------------------------------
 */

static const char *timeout_name(CURL *easy) {
    curl_off_t connected = 0;

    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    return connected == 0 ? "connect_timeout" : "timeout";
}

static const char *error_name(const struct transfer *transfer, CURLcode code) {
    static const struct {
        CURLcode code;
        const char *name;
    } names[] = {
        {CURLE_COULDNT_RESOLVE_HOST, "name_not_resolved"},
        {CURLE_COULDNT_CONNECT, "connection_refused"},
        {CURLE_PEER_FAILED_VERIFICATION, "certificate_not_trusted"},
        {CURLE_SSL_CONNECT_ERROR, "tls_failed"},
        {CURLE_SEND_ERROR, "connection_lost"},
        {CURLE_RECV_ERROR, "connection_lost"},
        {CURLE_GOT_NOTHING, "connection_lost"},
        {CURLE_PARTIAL_FILE, "connection_lost"},
        {CURLE_HTTP2, "connection_lost"},
        {CURLE_HTTP2_STREAM, "connection_lost"},
        {CURLE_WEIRD_SERVER_REPLY, "not_http"},
        {CURLE_UNSUPPORTED_PROTOCOL, "not_http"},
        {CURLE_OUT_OF_MEMORY, "out_of_memory"},
    };

    /* The receiver has answered; what it says beyond the limit is of no interest. */
    if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && transfer->body_cut))
        return NULL;
    if (transfer->refused)
        return "address_not_allowed";
    if (transfer->headers_cut)
        return "response_too_large";
    if (code == CURLE_OPERATION_TIMEDOUT)
        return timeout_name(transfer->easy);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i].code == code)
            return names[i].name;
    return "failed";
}

/* The kept bytes as text: what is not well-formed becomes '?', controls become spaces. */
static void excerpt_write(const struct transfer *transfer, char ret[static POST_EXCERPT + 1]) {
    struct str rest = {transfer->excerpt, transfer->kept};
    size_t out = 0;

    while (rest.len > 0) {
        size_t len = str_char_len(rest);
        if (len == 0) {
            /* A character that the limit cut in two. */
            if (transfer->kept == POST_EXCERPT && rest.len < 4)
                break;
            ret[out++] = '?';
            len = 1;
        } else if (len == 1) {
            char c = rest.ptr[0];
            ret[out++] = (c < ' ' || c == 0x7f) ? ' ' : c;
        } else {
            memcpy(ret + out, rest.ptr, len);
            out += len;
        }
        rest = (struct str){rest.ptr + len, rest.len - len};
    }
    ret[out] = '\0';
}

static void result_write(const struct transfer *transfer, CURLcode code, struct post_result *ret) {
    long status = 0;
    curl_off_t retry_after = 0;
    char *address = NULL;

    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after);
    curl_easy_getinfo(transfer->easy, CURLINFO_PRIMARY_IP, &address);
    *ret = (struct post_result){.tag = transfer->tag,
                                .status = (int)status,
                                .error = error_name(transfer, code),
                                .taken_us = clock_mono(&clock_system) - transfer->started_us};
    if (retry_after > 0)
        ret->retry_after = retry_after < 1000000 ? (int)retry_after : 1000000;
    if (address != NULL && !transfer->refused)
        strncpy(ret->address, address, sizeof(ret->address) - 1);
    excerpt_write(transfer, ret->excerpt);
}

/* Free for the next request. */
static void transfer_end(struct poster *poster, struct transfer *transfer) {
    curl_multi_remove_handle(poster->multi, transfer->easy);
    transfer_reset(transfer);
    transfer->flying = false;
    transfer->next_free = poster->free;
    poster->free = transfer;
    poster->in_flight--;
}

void poster_abort(struct poster *poster) {
    for (size_t i = 0; poster->transfers != NULL && i < poster->options.in_flight; i++)
        if (poster->transfers[i].flying)
            transfer_end(poster, &poster->transfers[i]);
}

static size_t collect(struct poster *poster, struct post_result *ret, size_t room) {
    CURLMsg *message;
    size_t n = 0;
    int left;

    while (n < room && (message = curl_multi_info_read(poster->multi, &left)) != NULL) {
        struct transfer *transfer = NULL;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) != CURLE_OK)
            continue;
        result_write(transfer, code, &ret[n++]);
        transfer_end(poster, transfer);
    }
    return n;
}

size_t poster_run(struct poster *poster, int wait_ms, struct post_result *ret, size_t room) {
    int running;

    curl_multi_perform(poster->multi, &running);
    size_t n = collect(poster, ret, room);
    if (n > 0 || wait_ms <= 0)
        return n;
    curl_multi_poll(poster->multi, NULL, 0, wait_ms, NULL);
    curl_multi_perform(poster->multi, &running);
    return collect(poster, ret, room);
}

void poster_wake(struct poster *poster) { curl_multi_wakeup(poster->multi); }
