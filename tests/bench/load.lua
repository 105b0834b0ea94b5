-- What wrk sends: each request with the next token, from the next address.
-- wrk -s load.lua URL -- TOKENS ADDRESSES
local heads, tails = {}, {}
local head, tail = 0, 0

function init(args)
   for token in io.lines(args[1]) do
      heads[#heads + 1] = "GET /runs HTTP/1.1\r\nHost: app0.bench.example\r\nAuthorization: Bearer " .. token .. "\r\n"
   end
   for address in io.lines(args[2]) do
      tails[#tails + 1] = "X-Forwarded-For: " .. address .. "\r\n\r\n"
   end
end

function request()
   head = head % #heads + 1
   tail = tail % #tails + 1
   return heads[head] .. tails[tail]
end
