-- The requests of wrk.sh. Arguments after `--`: what to do, the file of access tokens (one a line), and an ETag.
-- list       GET /todos, unchanged since it was last read
-- unchanged  GET /todos with the ETag that the client holds (of the first account): 304
-- create     POST /todos
-- mixed      nine lists, then one create, of the same person: each create makes the next list a new one
local people = {}
local unchanged
local count, mode = 0, "list"

function init(arguments)
   mode = arguments[1]
   for token in io.lines(arguments[2]) do
      local authorization = "Bearer " .. token
      people[#people + 1] = {
         list = wrk.format("GET", "/todos", { ["Authorization"] = authorization }),
         create = wrk.format("POST", "/todos",
            { ["Authorization"] = authorization, ["Content-Type"] = "application/json" },
            '{"title":"Water the banyan"}'),
      }
      unchanged = unchanged or wrk.format("GET", "/todos",
         { ["Authorization"] = authorization, ["If-None-Match"] = arguments[3] })
   end
end

function request()
   count = count + 1
   if mode == "unchanged" then
      return unchanged
   end
   if mode == "mixed" then
      -- Ten requests in a row belong to one person.
      local person = people[math.floor(count / 10) % #people + 1]
      return count % 10 == 0 and person.create or person.list
   end
   return people[count % #people + 1][mode]
end

-- All of it in one line, for run.py.
function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.3f, "p50_ms": %.3f, "p99_ms": %.3f, "bad_status": %d, "socket_errors": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
