-- Sends the requests of a file in turn, for wrk. One a line, its parts separated by tabs:
--     METHOD <tab> PATH <tab> BODY <tab> NAME: VALUE <tab> NAME: VALUE …
-- Arguments after `--`: the file.
-- WRK_PORTS: a port for each thread, separated by spaces.
local ports = {}
for port in os.getenv("WRK_PORTS"):gmatch("%d+") do
   ports[#ports + 1] = port
end
local threads = 0

function setup(thread)
   threads = threads + 1
   thread.addr = wrk.lookup(wrk.host, ports[threads])[1]
   -- The threads begin at different places, so that they do not ask for the same thing at the same moment.
   thread:set("part", (threads - 1) / #ports)
end

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
   count = math.floor(#requests * part)
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
