/* The reference for webhooks: libcurl's multi interface alone, posting the same bytes over and
 * over.
 *
 *   multi URL COUNT WIDTH BODY [HEADER...]
 *
 * BODY is a file; WIDTH transfers are under way at once. Prints how long all of them took, in
 * seconds. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static char body[1 << 20];
static long started, done, failed;

static size_t drop(char *bytes, size_t size, size_t n, void *context) {
    (void)bytes, (void)context;
    return size * n;
}

static CURL *transfer(const char *url, size_t len, struct curl_slist *headers) {
    CURL *easy = curl_easy_init();
    if (easy == NULL)
        return NULL;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)len);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 15000L);
    return easy;
}

/* Ends what is done, and starts as many again while there is something left to send. */
static int turn_over(CURLM *multi, long count) {
    CURLMsg *message;
    int n = 0, left;
    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        long status = 0;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        failed += message->data.result != CURLE_OK || status != 200;
        curl_multi_remove_handle(multi, easy);
        done++;
        n++;
        if (started++ < count)
            curl_multi_add_handle(multi, easy);
    }
    return n;
}

int main(int argc, char **argv) {
    struct curl_slist *headers = NULL;
    struct timespec from, to;
    int running;

    if (argc < 5)
        return 2;
    long count = atol(argv[2]), width = atol(argv[3]);
    FILE *file = fopen(argv[4], "rb");
    if (file == NULL)
        return 2;
    size_t len = fread(body, 1, sizeof body, file);
    fclose(file);
    headers = curl_slist_append(headers, "Expect:");
    for (int i = 5; i < argc; i++)
        headers = curl_slist_append(headers, argv[i]);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, width);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (; started < width && started < count; started++)
        curl_multi_add_handle(multi, transfer(argv[1], len, headers));
    while (done < count) {
        curl_multi_perform(multi, &running);
        if (turn_over(multi, count) == 0)
            curl_multi_poll(multi, NULL, 0, 100, NULL);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%.6f\n", (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9);
    return failed > 0;
}
