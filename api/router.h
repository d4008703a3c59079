/* From method and path to a row of the routes table. Compiled once at start; a match allocates
 * nothing but decoded path parameters, and those in the request's arena only when they hold an
 * escape. */
#ifndef API_ROUTER_H
#define API_ROUTER_H

#include "app/query.h"
#include "http.h"

struct call;

#define PATH_ARGS 4

struct route {
    const char *method; /* upper case, compared exactly (RFC 9110 section 9.1) */
    const char *path;   /* "/v1/accounts/{id}/restore"; {name} is one whole segment */
    use_case *run;
    void (*handler)(struct call *call); /* where a use case alone does not do */
    unsigned flags;
    const struct query_param *query; /* the parameters that it takes; NULL: none */
    enum resource_id resource;
    int verb;
    const char *operation_id;
    uint64_t areas;       /* of the account in the path, that this shows or changes as a whole; a
                             resource's own area is asked for record by record */
    const char *explains; /* shows the why of scores, which is economics: its name in the audit */
    const void *extra;
};

struct path_args {
    struct param items[PATH_ARGS]; /* percent-decoded */
    size_t n;
};

enum match { MATCH_FOUND, MATCH_NO_PATH, MATCH_NO_METHOD };

struct router;

/* `routes` must outlive the router. False with PROBLEM_INTERNAL and a cause when a row is malformed
 * or two rows have the same method and shape. */
bool router_init(const struct route *routes, size_t n_routes, struct router **ret, struct err *err);
void router_release(struct router *router); /* NULL is allowed */

/* MATCH_FOUND: *ret_route and *ret_args are set. HEAD finds the path's GET row when there is no
 * HEAD row. MATCH_NO_METHOD: the path exists, without that method (OPTIONS too, unless it has a
 * row); ret_allow (empty; may be NULL) gets the value for Allow, with HEAD where there is GET, and
 * with OPTIONS. At each segment a literal wins over {name}; where that leads nowhere, {name} is
 * tried. A path with an undecodable or empty parameter matches nothing. */
enum match router_match(const struct router *router, const struct request *request,
                        const struct route **ret_route, struct path_args *ret_args,
                        struct buf *ret_allow);
/* The value of a path parameter; absent when the route has none of that name. */
struct str path_arg(const struct path_args *args, const char *name);

#endif
