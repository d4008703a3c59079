-- wrk: walks round the paths of the file BENCH_PATHS, one a line.
local requests, at = {}, 0
function init()
    for path in io.lines(os.getenv("BENCH_PATHS")) do
        requests[#requests + 1] = wrk.format("GET", path)
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
