/* Parses CSV (RFC 4180), one record per call. A text that ends within a record is reported as
 * incomplete, so that the caller can come back with more of the text. */
#include "domain/csv_read.h"

#include <string.h>

struct reader {
    struct str text;
    size_t at;
    bool last;
    size_t lines;
};

static bool over(const struct reader *r) { return r->at >= r->text.len; }

/* Where the quoted cell that begins at `at` ends at the latest: no more memory than it needs, for
 * there are many of them in one text. */
static size_t cell_end(const struct reader *r) {
    size_t at = r->at + 1;
    while (at < r->text.len &&
           (r->text.ptr[at] != '"' || (at + 1 < r->text.len && r->text.ptr[at + 1] == '"')))
        at += r->text.ptr[at] == '"' ? 2 : 1;
    return at < r->text.len ? at : r->text.len;
}

/* "a ""quoted"" cell", whose opening quote is at `at`. */
static enum csv_read quoted(struct reader *r, struct arena *arena, struct str *ret) {
    size_t room = cell_end(r) - r->at, len = 0;
    char *copy = arena_alloc(arena, room + 1);
    if (!copy)
        return CSV_MEMORY;
    for (r->at++; !over(r); r->at++) {
        char c = r->text.ptr[r->at];
        if (c == '"') {
            if (r->at + 1 >= r->text.len && !r->last)
                return CSV_MORE;
            if (r->at + 1 >= r->text.len || r->text.ptr[r->at + 1] != '"') {
                r->at++;
                *ret = (struct str){copy, len};
                return CSV_RECORD;
            }
            r->at++;
        }
        r->lines += c == '\n';
        copy[len++] = c;
    }
    return r->last ? CSV_WRONG : CSV_MORE;
}

static enum csv_read cell(struct reader *r, struct arena *arena, struct str *ret) {
    size_t start = r->at;
    if (!over(r) && r->text.ptr[r->at] == '"')
        return quoted(r, arena, ret);
    while (!over(r) && !strchr(",\r\n", r->text.ptr[r->at])) {
        if (r->text.ptr[r->at] == '"' || r->text.ptr[r->at] == '\0')
            return CSV_WRONG;
        r->at++;
    }
    *ret = r->at == start ? STR("")
                          : arena_str(arena, (struct str){r->text.ptr + start, r->at - start});
    return ret->ptr ? CSV_RECORD : CSV_MEMORY;
}

/* What follows a cell: *ret_end when it was the record's last. */
static enum csv_read separator(struct reader *r, bool *ret_end) {
    *ret_end = false;
    if (over(r)) {
        *ret_end = true;
        return r->last ? CSV_RECORD : CSV_MORE;
    }
    char c = r->text.ptr[r->at++];
    if (c == ',')
        return CSV_RECORD;
    *ret_end = true;
    r->lines++;
    if (c == '\n')
        return CSV_RECORD;
    if (c != '\r')
        return CSV_WRONG;
    if (over(r))
        return r->last ? CSV_RECORD : CSV_MORE;
    if (r->text.ptr[r->at] == '\n')
        r->at++;
    return CSV_RECORD;
}

enum csv_read csv_read(struct str text, bool last, struct arena *arena, struct csv_record *ret) {
    struct reader reader = {.text = text, .last = last};
    bool end = text.len == 0;
    ret->n = 0;
    if (end)
        return CSV_MORE;
    while (!end) {
        if (ret->n == CSV_CELLS)
            return CSV_WRONG;
        enum csv_read read = cell(&reader, arena, &ret->cells[ret->n++]);
        if (read == CSV_RECORD)
            read = separator(&reader, &end);
        if (read != CSV_RECORD)
            return read;
    }
    ret->used = reader.at;
    ret->lines = reader.lines;
    return CSV_RECORD;
}
