-- SORT with BY or GET patterns: a node in cluster mode refuses these, though all keys are in one slot.
-- KEYS: the key, where to store; ARGV: tag, BY pattern or nothing, offset, count, ASC or DESC, ALPHA or
-- nothing, STORE or nothing, GET patterns.
local T,by,off,cnt,dir,alpha,store=ARGV[1],ARGV[2],tonumber(ARGV[3]),tonumber(ARGV[4]),ARGV[5],ARGV[6],ARGV[7]
local function at(p,e)
if p=='#' then return e end
local i=string.find(p,'*',1,true)
if not i then return false end
local f=string.find(p,'->',i+1,true)
local field
if f and f+2<=#p then field=string.sub(p,f+2) p=string.sub(p,1,f-1) end
local k=T..string.sub(p,1,i-1)..e..string.sub(p,i+1)
local y=redis.call('type',k).ok
if field then return y=='hash' and redis.call('hget',k,field) end
return y=='string' and redis.call('get',k)
end
local r
if by=='' or not string.find(by,'*',1,true) then
local a={'sort',KEYS[2],'LIMIT',off,cnt,dir}
if by~='' then a[#a+1]='BY' a[#a+1]='nosort' end
if alpha~='' then a[#a+1]='ALPHA' end
r=redis.pcall(unpack(a))
if r.err then return r end
else
local y,l=redis.call('type',KEYS[2]).ok,nil
if y=='list' then l=redis.call('lrange',KEYS[2],0,-1)
elseif y=='set' then l=redis.call('smembers',KEYS[2])
elseif y=='zset' then l=redis.call('zrange',KEYS[2],0,-1)
elseif y=='none' then l={}
else return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value') end
local v={}
for i,e in ipairs(l) do
local w=at(by,e)
if alpha=='' then
if not w or w=='' then w=0 else w=tonumber(w) end
if not w or w~=w then return redis.error_reply("ERR One or more scores can't be converted into double") end
end
v[i]={e,w,i}
end
local function less(x,y)
local a,b=x[2],y[2]
if a==b then if alpha=='' and x[1]~=y[1] then return x[1]<y[1] end return x[3]<y[3] end
if not a then return true end
if not b then return false end
return a<b
end
if dir=='DESC' then table.sort(v,function(x,y) return less(y,x) end) else table.sort(v,less) end
r={}
local n=#v
local s=math.max(off,0)
local e=cnt<0 and n-1 or s+cnt-1
if e>=n then e=n-1 end
for i=s,e do r[#r+1]=v[i+1][1] end
end
local out=r
if #ARGV>7 then
out={}
for _,e in ipairs(r) do for g=8,#ARGV do out[#out+1]=at(ARGV[g],e) end end
end
if store=='' then return out end
redis.call('del',KEYS[3])
for i=1,#out,1000 do
local part={}
for j=i,math.min(i+999,#out) do part[#part+1]=out[j] or '' end
redis.call('rpush',KEYS[3],unpack(part))
end
return #out
