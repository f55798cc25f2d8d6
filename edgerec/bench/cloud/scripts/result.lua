-- Prints the result of a load as one line of JSON. wrk counts times in microseconds.
return function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'edgerec {"requests":%d,"seconds":%.3f,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d,"failed":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency.max, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
