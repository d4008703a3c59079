/* Fetches a document by a blocking HTTP GET of libcurl. Any status but 200 is an error, and so is a
 * body that exceeds the buffer's maximum. */
#include "remote/fetch.h"

#include "easy.h"

static size_t on_body(char *bytes, size_t size, size_t n, void *arg) {
    struct buf *body = arg;

    buf_add(body, bytes, size * n);
    return buf_ok(body) ? size * n : 0;
}

bool fetch_document(const struct fetch_options *options, const char *url, struct buf *ret,
                    struct err *err) {
    CURL *easy CLEANUP(easy_free) = curl_easy_init();
    const struct easy_limits limits = {.allow_http = options->allow_http,
                                       .connect_ms = options->connect_ms,
                                       .total_ms = options->total_ms,
                                       .agent = options->agent,
                                       .stop = options->stop};
    long status = 0;

    if (easy == NULL || !easy_confine(easy, &limits) ||
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, ret) != CURLE_OK ||
        !easy_text(easy, CURLOPT_URL, url))
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
