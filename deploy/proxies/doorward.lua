-- HAProxy asks Doorward about a request; see docs/guide/forward-auth.md and haproxy.cfg, which is tested with it.
--
--     http-request lua.doorward_decides http://127.0.0.1:8444/ wiki.corp.example
--     http-request deny deny_status 503 unless { var(txn.doorward_passes) -m bool }
--
-- The second line must follow the first one: HAProxy goes on after an error in Lua, and a request passes only if this
-- file came to its end.

-- Between the client and HAProxy, or of the question itself.
local left_out = {
    ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true, ["keep-alive"] = true,
    ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true,
    ["upgrade"] = true,
}

-- What Doorward says of who asks. Each is in every yes, and empty if it does not apply.
local identity = {
    "x-doorward-user", "x-doorward-groups", "x-doorward-email", "x-doorward-on-behalf-of",
    "x-doorward-assertion", "x-doorward-request-id",
}

local MILLIS_MAX = 10000

-- The values of a header count from 0, in the order in which they came.
local function each(values, act)
    local i = 0
    while values[i] do
        act(values[i])
        i = i + 1
    end
end

local function question(txn, host)
    local headers = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        if not left_out[name] then
            headers[name] = {}
            each(values, function(value) table.insert(headers[name], value) end)
        end
    end
    headers["x-forwarded-for"] = { txn.f:src() }
    headers["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
    headers["x-forwarded-host"] = { host .. ":" .. txn.f:dst_port() }
    headers["x-forwarded-method"] = { txn.f:method() }
    headers["x-forwarded-uri"] = { txn.f:pathq() }
    return headers
end

local function passes(txn, told)
    for _, name in ipairs(identity) do
        txn.http:req_set_header(name, told[name][0])
    end
    txn.http:req_del_header("authorization")
    txn.http:req_del_header("cookie")
    if told["x-doorward-cookie"][0] ~= "" then
        txn.http:req_set_header("cookie", told["x-doorward-cookie"][0])
    end
    if told["set-cookie"] then
        txn:set_var("txn.doorward_set_cookie", told["set-cookie"][0])
    end
    txn:set_var("txn.doorward_passes", true)
end

local function refuses(txn, answer)
    local reply = txn:reply { status = answer.status }
    for name, values in pairs(answer.headers) do
        if not left_out[name] then
            each(values, function(value) reply:add_header(name, value) end)
        end
    end
    if answer.body and txn.f:method() ~= "HEAD" then
        reply:set_body(answer.body)
    end
    txn:done(reply)
end

core.register_action("doorward_decides", { "http-req" }, function(txn, url, host)
    local answer = core.httpclient():get { url = url, headers = question(txn, host), timeout = MILLIS_MAX }
    if answer.status == 200 then
        passes(txn, answer.headers)
    elseif answer.status and answer.status >= 300 then
        refuses(txn, answer)
    end
end, 2)
