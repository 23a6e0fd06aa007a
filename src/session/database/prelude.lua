local redis,KEYS=(function(R,K)
-- What differs from database to database, and what the command table says of keys.
local T,S,D=@TAG@,'@SLOT@',@NUMBER@
local one,none,more='@ONE@','@NONE@','@MORE@'
local first,items='@FIRST@','@ITEMS@'
local L,m=#T,{}
local function cut(k) if type(k)=='string' and string.sub(k,1,L)==T then return string.sub(k,L+1) end return k end
local function has(list,c) return string.find(list,' '..c..' ',1,true) end
-- Where a command's keys are; nil: it is not known.
local function rule(c)
if m[c] then return m[c] end
local r
if has(one,c) then r={{'r',1,0,1}}
elseif has(none,c) then r={}
else
local e=string.match(more,' '..(string.gsub(c,'%W','%%%0'))..'=(%S+)')
if e then r={} for k,a,b,d in string.gmatch(e,'(%a)(%-?%d*)%.?(%-?%d*)%.?(%-?%d*)') do r[#r+1]={k,tonumber(a),tonumber(b),tonumber(d)} end end
end
m[c]=r
return r
end
local function word(a,i) return string.lower(tostring(a[i])) end
local function tag(a,i) if a[i]~=nil then a[i]=T..tostring(a[i]) end end
local function mark(r,a,n)
for _,s in ipairs(r) do
local k=s[1]
if k=='r' then
local e=s[3]<0 and n+1+s[3] or s[2]+s[3]
for i=s[2],math.min(e,n),s[4] do tag(a,i) end
elseif k=='n' then
for i=0,(tonumber(a[s[2]]) or 0)-1 do tag(a,s[3]+i*s[4]) end
elseif k=='x' then
for i=1,n do if word(a,i)=='streams' then for j=i+1,i+math.floor((n-i)/2) do tag(a,j) end break end end
else
tag(a,1)
local i=2
while i<n do
local w=word(a,i)
if k=='s' and w=='limit' then i=i+2
elseif k=='s' and w=='by' then if string.find(a[i+1],'*',1,true) then tag(a,i+1) end i=i+1
elseif k=='s' and w=='get' then if a[i+1]~='#' then tag(a,i+1) end i=i+1
elseif w=='store' or (k=='g' and w=='storedist') then tag(a,i+1) i=i+1 end
i=i+1
end
end
end
end
local function all()
local r={}
for _,k in ipairs(R.call('cluster','getkeysinslot',S,R.call('cluster','countkeysinslot',S))) do
if string.sub(k,1,L)==T then r[#r+1]=k end
end
return r
end
local function objection(p,t) local e={err=t} if p then return e end error(e) end
-- What is about the whole database.
local W={}
local function exact(c) return (string.gsub(c,'%W','%%%0')) end
-- A pattern of Redis as one of Lua.
local function glob(p)
local r,i='^',1
while i<=#p do
local c=string.sub(p,i,i)
if c=='*' then r=r..'.*'
elseif c=='?' then r=r..'.'
elseif c=='\\' and i<#p then i=i+1 r=r..exact(string.sub(p,i,i))
elseif c=='[' then
local e=string.find(p,']',i+1,true) or #p+1
local b=string.gsub(string.sub(p,i+1,e-1),'%%','%%%%')
r=r..((b=='' or b=='^') and '[^%s%S]' or '['..b..']')
i=e
else r=r..exact(c) end
i=i+1
end
return r..'$'
end
local function list(pattern,wanted)
local g,r=pattern and glob(pattern),{}
for _,k in ipairs(all()) do
local y=R.call('type',k)['ok']
local n=cut(k)
if y~='none' and (not wanted or y==wanted) and (not g or string.find(n,g)) then r[#r+1]=n end
end
return r
end
function W.keys(p,f,c,...)
if select('#',...)~=1 then return f(c,...) end
return list(tostring((...)))
end
function W.scan(p,f,c,...)
local a,n={...},select('#',...)
local at=tonumber(a[1])
if not at then return f(c,...) end
local pattern,wanted
for i=2,n-1,2 do
local w=word(a,i)
if w=='match' then pattern=tostring(a[i+1]) elseif w=='type' then wanted=word(a,i+1) elseif w~='count' then return f(c,...) end
end
return {'0',at==0 and list(pattern,wanted) or {}}
end
function W.dbsize() return #all() end
function W.randomkey() local k=all() if #k==0 then return false end return cut(k[math.random(#k)]) end
function W.flushdb(p,f)
local k=all()
for i=1,#k,1000 do
local x=f('unlink',unpack(k,i,math.min(i+999,#k)))
if type(x)=='table' and x.err then return x end
end
return {ok='OK'}
end
function W.select(p,f,c,n) if tonumber(n)==D then return {ok='OK'} end return objection(p,'ERR gateway: a script stays in its database') end
for _,c in ipairs({'flushall','swapdb','move'}) do
W[c]=function(p) return objection(p,'ERR gateway: not in a script in a database other than 0') end
end
local function wrap(f,p)
return function(c,...)
if c==nil and select('#',...)==0 then return f() end
if type(c)~='string' then return f(c,...) end
local l=string.lower(c)
if W[l] then return W[l](p,f,c,...) end
local r=rule(l)
if not r then
-- A command that the node does not know either is the node's to refuse.
local known=R.pcall('command','info',l)
if type(known)=='table' and known[1] then return objection(p,'ERR gateway: it is not known where this command has its keys: '..c) end
return f(c,...)
end
if #r==0 then return f(c,...) end
local a,n={...},select('#',...)
mark(r,a,n)
local x
-- As many as fit into one call; unpack needs room of its own.
if n<100 then x=f(c,unpack(a,1,n)) else x=f(c,a[1],a[2],a[3],a[4],a[5],a[6],a[7],a[8],unpack(a,9,n)) end
if type(x)=='table' and not x.err then
if has(first,l) then x[1]=cut(x[1])
elseif has(items,l) then
if x.map then local y={} for k,v in pairs(x.map) do y[cut(k)]=v end x.map=y
else for _,i in ipairs(x) do if type(i)=='table' then i[1]=cut(i[1]) end end end
end
end
return x
end
end
local k={}
for i=2,#K do k[i-1]=cut(K[i]) end
local own=setmetatable({call=wrap(R.call,false),pcall=wrap(R.pcall,true)},{__index=R})
return setmetatable({},{__index=own,__newindex=function() error('Attempt to modify a readonly table',2) end}),k
end)(redis,KEYS)
