/* A compressed body comes back whole, a body that would not shrink is left alone, and only
 * clients that ask for gzip get it. */
#include "unit.h"

#include "client.h"
#include "gzip.h"

#include <unistd.h>
#include <zlib.h>

static void inflate_into(const char *bytes, size_t len, char *ret, size_t room, size_t *ret_len) {
    z_stream stream = {.next_in = (z_const Bytef *)(uintptr_t)bytes,
                       .avail_in = (uInt)len,
                       .next_out = (Bytef *)ret,
                       .avail_out = (uInt)room};
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    *ret_len = stream.total_out;
    inflateEnd(&stream);
}

static void fill(struct buf *body, size_t len) {
    buf_reset(body);
    for (size_t i = 0; i < len; i++)
        buf_char(body, (char)('a' + i * i % 23));
}

static void comes_back_whole(void **state) {
    (void)state;
    struct gzip *gzip = NULL;
    struct buf body CLEANUP(buf_release) = {0};
    buf_init(&body, 1 << 20);
    static char back[1 << 20];
    static const size_t lengths[] = {1024, 5000, 300000};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        size_t len;
        fill(&body, lengths[i]);
        assert_true(gzip_body(&gzip, &body));
        assert_true(body.len < lengths[i]);
        inflate_into(body.ptr, body.len, back, sizeof back, &len);
        fill(&body, lengths[i]);
        assert_int_equal(len, lengths[i]);
        assert_memory_equal(back, body.ptr, len);
        assert_true(gzip_body(&gzip, &body));
        struct buf opened CLEANUP(buf_release) = {0};
        buf_init(&opened, 1 << 20);
        assert_false(gzip_open(body.ptr, body.len, len - 1, &opened));
        assert_false(gzip_open(body.ptr, body.len - 9, len, &opened));
        assert_int_equal(opened.len, 0);
        assert_true(gzip_open(body.ptr, body.len, len, &opened));
        assert_int_equal(opened.len, len);
        assert_memory_equal(opened.ptr, back, len);
    }
    gzip_release(gzip);
}

static void leaves_what_does_not_shrink(void **state) {
    (void)state;
    struct gzip *gzip = NULL;
    struct buf body CLEANUP(buf_release) = {0};
    buf_init(&body, 1000);
    assert_false(gzip_body(&gzip, &body));
    buf_text(&body, "xyz");
    assert_false(gzip_body(&gzip, &body));
    assert_text(buf_str(&body), "xyz");
    gzip_release(gzip);
    assert_true(gzip_pays("application/problem+json"));
    assert_true(gzip_pays("text/html; charset=utf-8"));
    assert_false(gzip_pays("image/png"));
}

static void serve(void *context, struct request *request, struct answer *answer) {
    (void)context;
    answer->status = 200;
    answer->content_type = str_is(request->path, "/picture") ? "image/png" : "application/json";
    if (str_is(request->path, "/coded"))
        answer_header(answer, "Content-Encoding", STR("br"));
    fill(&answer->body, str_is(request->path, "/short") ? GZIP_LEAST - 1 : 5000);
}

static void answers_who_asks(void **state) {
    (void)state;
    static const struct {
        const char *request;
        bool gzip;
    } cases[] = {
        {"GET /x HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br, gzip\r\n\r\n", true},
        {"GET /x HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0\r\n\r\n", false},
        {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", false},
        {"GET /short HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", false},
        {"GET /picture HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", false},
        {"GET /coded HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", false},
    };
    struct server *server = client_server((struct server_options){.host = "127.0.0.1",
                                                                  .threads = 1,
                                                                  .connections = 10,
                                                                  .memory = 16384,
                                                                  .header_seconds = 5,
                                                                  .body_seconds = 5,
                                                                  .idle_seconds = 5,
                                                                  .request_ms = 2000,
                                                                  .name = "test",
                                                                  .serve = serve});
    static struct answers said;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int fd = client_connect(server);
        client_send(fd, cases[i].request, strlen(cases[i].request));
        client_read(fd, 1, 2000, &said);
        assert_int_equal(said.status[0], 200);
        bool gzip = strstr(said.text, "\r\nContent-Encoding: gzip\r\n") != NULL;
        assert_case(gzip == cases[i].gzip, cases[i].request);
        assert_non_null(strstr(said.text, "\r\nVary: Accept, Accept-Encoding"));
        if (gzip) {
            static char back[8000];
            size_t len;
            const char *body = strstr(said.text, "\r\n\r\n") + 4;
            inflate_into(body, said.len - (size_t)(body - said.text), back, sizeof back, &len);
            assert_int_equal(len, 5000);
        }
        close(fd);
    }
    server_stop(server, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_whole),
        cmocka_unit_test(leaves_what_does_not_shrink),
        cmocka_unit_test(answers_who_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
