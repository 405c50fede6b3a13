-- Every key begins with KEYS[1], which carries the hash tag: one slot holds all that a transition touches.
local function key(...) return KEYS[1] .. ':' .. table.concat({...}, ':') end

-- A record and what it is found by; the list of one scope, by order of making; that list cut to one label.
local function row(kind, id) return key('row', kind, id) end
local function list(kind, scope) return key('list', kind, scope) end
local function labelled(kind, label, scope) return key('label', kind, label, scope) end
