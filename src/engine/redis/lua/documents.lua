-- Whether documents of strangers lie in the inbox of a queue. A key of another type in its place is no inbox.
local function has_documents(queue)
  local inbox = P .. 'inbox:' .. queue
  return call('EXISTS', inbox) == 1 and type(redis.pcall('LINDEX', inbox, 0)) == 'string'
end
