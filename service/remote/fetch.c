#include "remote/fetch.h"

#include <curl/curl.h>

struct fetch {
    const struct fetch_options *options;
    struct buf *body;
};

static void easy_free(CURL **easy) { curl_easy_cleanup(*easy); }

static size_t on_body(char *bytes, size_t size, size_t n, void *arg) {
    struct fetch *fetch = arg;

    buf_add(fetch->body, bytes, size * n);
    return buf_ok(fetch->body) ? size * n : 0;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const struct fetch *fetch = arg;

    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(fetch->options->stop) ? 1 : 0;
}

static bool set_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

static bool set_text(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

static bool confine(CURL *easy, const struct fetch_options *options) {
    return set_text(easy, CURLOPT_PROTOCOLS_STR, options->allow_http ? "http,https" : "https") &&
           set_text(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https") &&
           set_long(easy, CURLOPT_FOLLOWLOCATION, 0) && set_text(easy, CURLOPT_PROXY, "") &&
           set_text(easy, CURLOPT_NOPROXY, "*") &&
           set_long(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1) &&
           set_long(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED) &&
           set_long(easy, CURLOPT_SSL_VERIFYPEER, 1) && set_long(easy, CURLOPT_SSL_VERIFYHOST, 2) &&
           set_long(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2) &&
           set_long(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1) &&
           set_long(easy, CURLOPT_NOSIGNAL, 1) &&
           set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, options->connect_ms) &&
           set_long(easy, CURLOPT_TIMEOUT_MS, options->total_ms) &&
           set_long(easy, CURLOPT_QUICK_EXIT, 1);
}

static bool attend(CURL *easy, struct fetch *fetch) {
    return curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFODATA, fetch) == CURLE_OK &&
           set_long(easy, CURLOPT_NOPROGRESS, 0) &&
           set_text(easy, CURLOPT_USERAGENT, fetch->options->agent);
}

bool fetch_document(const struct fetch_options *options, const char *url, struct buf *ret,
                    struct err *err) {
    CURL *easy CLEANUP(easy_free) = curl_easy_init();
    struct fetch fetch = {options, ret};
    long status = 0;

    if (easy == NULL || !confine(easy, options) || !attend(easy, &fetch) ||
        !set_text(easy, CURLOPT_URL, url))
        return err_memory(err);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && status == 200)
        return true;
    err_set(err, PROBLEM_INTERNAL, "A document could not be fetched.");
    if (code != CURLE_OK)
        return err_cause(err, "%s: %s", url,
                         buf_ok(ret) ? curl_easy_strerror(code) : "the document is too large");
    return err_cause(err, "%s: answered %ld", url, status);
}
