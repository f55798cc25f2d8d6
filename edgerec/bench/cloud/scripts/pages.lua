-- Requests for pages. Arguments: the version, the number of items, a file with a user in each line.
package.path = debug.getinfo(1, "S").source:match("^@(.*/)") .. "?.lua;" .. package.path
local users, version, count, number = {}, nil, nil, 0

function init(arguments)
  version, count = arguments[1], arguments[2]
  for user in io.lines(arguments[3]) do users[#users + 1] = user end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Accept"] = "application/vnd.edgerec"
end

function request()
  number = number + 1
  local user = users[math.random(#users)]
  local body = string.format(
    '{"user_id":%s,"store_id":%d,"version_id":"%s","count":%s,"held":[],"time":%d}',
    user, number, version, count, 1700000000000 + number)
  return wrk.format(nil, "/v1/page", nil, body)
end

function done(summary, latency, requests)
  require("result")(summary, latency)
end
