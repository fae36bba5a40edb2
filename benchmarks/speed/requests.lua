-- Sends the requests of a file in turn, for wrk. One a line, its parts separated by tabs:
--     METHOD <tab> PATH <tab> BODY <tab> NAME: VALUE <tab> NAME: VALUE …
-- Arguments after `--`: the file.
local requests = {}
local count = 0

function init(arguments)
   for line in io.lines(arguments[1]) do
      local fields = {}
      for field in (line .. "\t"):gmatch("([^\t]*)\t") do
         fields[#fields + 1] = field
      end
      local headers = {}
      for number = 4, #fields do
         local name, value = fields[number]:match("^([^:]+): (.*)$")
         headers[name] = value
      end
      local body = fields[3] ~= "" and fields[3] or nil
      requests[#requests + 1] = wrk.format(fields[1], fields[2], headers, body)
   end
end

function request()
   count = count + 1
   return requests[count % #requests + 1]
end

-- All of it in one line, for wrk.py.
function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "bad_status": %d, "socket_errors": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
