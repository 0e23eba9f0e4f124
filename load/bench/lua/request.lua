-- wrk -s request.lua URL -- FILE DEPTH
--
-- Sends the request that is in FILE, DEPTH of them in one piece. Where FILE has {n}, a number stands that
-- is new in each request. At the end it prints one line of JSON: what wrk counted, times in microseconds.

local parts, count, fixed = {}, 0, nil

function init(args)
   local file = assert(io.open(args[1], "rb"))
   local text = file:read("*a")
   file:close()
   local start = 1
   while true do
      local first, last = text:find("{n}", start, true)
      parts[#parts + 1] = text:sub(start, (first or 0) - 1)
      if not first then break end
      start = last + 1
   end
   if #parts == 1 then fixed = text:rep(tonumber(args[2])) end
end

function request()
   if fixed then return fixed end
   count = count + 1
   return table.concat(parts, count)
end

function done(summary, latency, requests)
   local errors = summary.errors
   local at = {}
   for _, p in ipairs({50, 75, 90, 99, 99.9}) do
      at[#at + 1] = string.format('"%g":%d', p, latency:percentile(p))
   end
   io.write(string.format(
      'figures {"requests":%d,"duration":%d,"latency":{%s,"100":%d},' ..
      '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
      summary.requests, summary.duration, table.concat(at, ","), latency.max,
      errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
