-- wrk: makes accounts that differ in their numbers, each under an Idempotency-Key of its own.
-- BENCH_BODY is the file of one body, BENCH_RUN what no other run has; # in the body is replaced.
local body, run, at
function init()
    local file = io.open(os.getenv("BENCH_BODY"))
    body, run, at = file:read("*a"), os.getenv("BENCH_RUN"), 0
    file:close()
    wrk.headers["Content-Type"] = "application/json"
end
function request()
    at = at + 1
    local unique = run .. "-" .. at
    wrk.headers["Idempotency-Key"] = unique
    return wrk.format("POST", "/v1/accounts", nil, (body:gsub("#", unique)))
end
