/* Sets the libcurl options that single transfers share: no proxy, no redirects, verified
 * certificates, time limits, and a callback that ends the transfer when kamd stops. */
#include "easy.h"

void easy_free(CURL **easy) { curl_easy_cleanup(*easy); }

bool easy_long(CURL *easy, CURLoption option, long value) {
    return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

bool easy_text(CURL *easy, CURLoption option, const char *value) {
    return curl_easy_setopt(easy, option, value) == CURLE_OK;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const struct easy_limits *limits = arg;

    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(limits->stop) ? 1 : 0;
}

static bool attend(CURL *easy, const struct easy_limits *limits) {
    return curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_XFERINFODATA, limits) == CURLE_OK &&
           easy_long(easy, CURLOPT_NOPROGRESS, 0) &&
           easy_text(easy, CURLOPT_USERAGENT, limits->agent);
}

bool easy_confine(CURL *easy, const struct easy_limits *limits) {
    bool own_ca = limits->ca_file != NULL && limits->ca_file[0] != '\0';

    return easy_text(easy, CURLOPT_PROTOCOLS_STR, limits->allow_http ? "http,https" : "https") &&
           easy_text(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https") &&
           easy_long(easy, CURLOPT_FOLLOWLOCATION, 0) && easy_text(easy, CURLOPT_PROXY, "") &&
           easy_text(easy, CURLOPT_NOPROXY, "*") &&
           easy_long(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1) &&
           easy_long(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED) &&
           easy_long(easy, CURLOPT_SSL_VERIFYPEER, 1) &&
           easy_long(easy, CURLOPT_SSL_VERIFYHOST, 2) &&
           easy_long(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2) &&
           easy_long(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1) &&
           easy_long(easy, CURLOPT_NOSIGNAL, 1) &&
           easy_long(easy, CURLOPT_CONNECTTIMEOUT_MS, limits->connect_ms) &&
           easy_long(easy, CURLOPT_TIMEOUT_MS, limits->total_ms) &&
           easy_long(easy, CURLOPT_QUICK_EXIT, 1) &&
           (!own_ca || easy_text(easy, CURLOPT_CAINFO, limits->ca_file)) && attend(easy, limits);
}
