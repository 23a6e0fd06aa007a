"""redis-py, as it comes, against the gateway on the port given: one line per protocol that is fine."""

import sys

import redis


def strings(client):
    assert client.ping()
    client.set("py:a", b"\x00\xff")
    assert client.get("py:a") == b"\x00\xff"
    client.set("py:n", 5)
    assert client.incrby("py:n", 2) == 7
    assert client.get("py:none") is None
    assert client.set("py:n", 1, nx=True) is None
    client.expire("py:n", 100)
    assert 0 < client.ttl("py:n") <= 100


def collections(client):
    client.delete("py:h", "py:s", "py:z", "py:l", "py:x")
    client.hset("py:h", mapping={"a": 1, "b": 2})
    assert client.hgetall("py:h") == {b"a": b"1", b"b": b"2"}
    client.sadd("py:s", "x", "y")
    assert client.smembers("py:s") == {b"x", b"y"}
    client.zadd("py:z", {"a": 1.5, "b": 2})
    assert client.zscore("py:z", "a") == 1.5
    assert [tuple(pair) for pair in client.zrange("py:z", 0, -1, withscores=True)] == [
        (b"a", 1.5),
        (b"b", 2.0),
    ]
    client.rpush("py:l", *range(10))
    assert client.lrange("py:l", 0, 2) == [b"0", b"1", b"2"]
    client.xadd("py:x", {"f": "v"}, id="1-1")
    assert client.xrange("py:x") == [(b"1-1", {b"f": b"v"})]
    assert client.xread({"py:x": "0"})


def many_keys(client):
    keys = [f"py:many:{n}" for n in range(2000)]
    assert client.mset({key: key for key in keys})
    assert client.mget(keys + ["py:none"]) == [key.encode() for key in keys] + [None]
    assert {key.decode() for key in client.scan_iter(match="py:many:*", count=500)} == set(keys)
    assert client.exists(*keys) == 2000
    assert client.delete(*keys) == 2000


def pipelines(client):
    with client.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.set(f"py:pipe:{n % 50}", n)
            pipe.get(f"py:pipe:{n % 50}")
        replies = pipe.execute()
    assert replies[1::2] == [str(n).encode() for n in range(1000)]
    with client.pipeline(transaction=False) as pipe:
        pipe.set("py:a", 1).lpush("py:a", 1).get("py:a")
        replies = pipe.execute(raise_on_error=False)
    assert isinstance(replies[1], redis.ResponseError) and replies[2] == b"1"


def scripts(client):
    add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    client.delete("py:script")
    assert add(keys=["py:script"], args=[2]) == 2
    # Unknown to the server, the script is loaded again by the library.
    assert add(keys=["py:script"], args=[3]) == 5


def transactions(client):
    client.delete("py:tx", "py:none")
    with client.pipeline(transaction=True) as pipe:
        assert pipe.set("py:tx", 1).incr("py:tx").execute() == [True, 2]
    assert client.transaction(lambda pipe: (pipe.multi(), pipe.incr("py:tx")), "py:tx") == [3]
    with client.pipeline() as pipe:
        pipe.watch("py:tx")
        client.set("py:tx", 7)
        pipe.multi()
        pipe.incr("py:tx")
        try:
            pipe.execute()
        except redis.WatchError:
            pass
        else:
            raise AssertionError("what was watched had changed")


def waits(client):
    client.rpush("py:queue", "a")
    assert client.blpop("py:queue", 10) in ((b"py:queue", b"a"), [b"py:queue", b"a"])
    assert client.blpop("py:none", 0.05) is None
    assert not client.xread({"py:none": "$"}, block=50)


def messages(client):
    with client.pubsub() as subscriber:
        subscriber.subscribe("py:news")
        subscriber.psubscribe("py:n*")
        assert subscriber.get_message(timeout=60)["type"] == "subscribe"
        assert subscriber.get_message(timeout=60)["type"] == "psubscribe"
        assert client.publish("py:news", "x") == 2
        got = {subscriber.get_message(timeout=60)["type"] for _ in range(2)}
        assert got == {"message", "pmessage"}, got
    assert client.ping()


def server(client):
    assert client.info("server")["redis_mode"] == "standalone"
    assert client.info()["cluster_enabled"] == 0
    assert client.dbsize() > 0
    assert client.client_setname("py") and client.client_getname() in ("py", b"py")
    assert client.command_count() > 200
    assert "get" in client.command()
    assert client.config_get("maxmemory-policy")
    assert client.time()[0] > 0


def main():
    port = int(sys.argv[1])
    for protocol in (2, 3):
        with redis.Redis(port=port, protocol=protocol, socket_timeout=60) as client:
            for check in (
                strings,
                collections,
                many_keys,
                pipelines,
                scripts,
                transactions,
                waits,
                messages,
                server,
            ):
                check(client)
        print(f"RESP{protocol} is fine")


main()
