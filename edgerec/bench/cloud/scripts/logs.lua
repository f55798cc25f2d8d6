-- Batches of logs, each of another store. Arguments: a seed, a file with the rest of a batch in each line. `@` stands for the store,
-- so that the IDs of requests differ.
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local rests, store = {}, nil

function init(arguments)
  store = tonumber(arguments[1]) * 10000000
  for rest in io.lines(arguments[2]) do rests[#rests + 1] = rest end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  store = store + 1
  local name = string.format("%d", store)
  return wrk.format(nil, "/v1/logs", nil, '{"store_id":' .. name .. "," .. rests[store % #rests + 1]:gsub("@", name))
end

function done(summary, latency, requests)
  require("result")(summary, latency)
end
