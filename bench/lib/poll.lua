-- Polls as a host does. The argument says whether each request names another run (distinct) or all the same one (same).
local same = false
local count = 0

function init(args)
  same = args[1] == "same"
  wrk.headers["accept"] = "application/json"
  wrk.headers["x-ddp-org"] = "acme"
end

function request()
  if not same then count = count + 1 end
  return wrk.format("GET", string.format("/proxy/flow_runs/%08x-0b5b-4a3e-9d53-0e9c6f6b2f11/poll", count))
end

-- The numbers of --latency, for a program to read.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nsummary {"requests":%d,"duration":%d,"p50":%d,"p99":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout
  ))
end
