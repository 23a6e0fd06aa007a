"""Plain clients: one connection each, one request at a time, no cluster mode, reconnecting.

Knows RESP2 and sockets; nothing of Docker.
"""

import socket
import threading
import time


# What a port of this machine asks for.
PASSWORDS = {}


class Closed(ConnectionError):
    """The connection ended before a reply began."""


class Connection:
    """One connection to one port, as any simple client has it."""

    def __init__(self, port, host="127.0.0.1", timeout=60):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        if port in PASSWORDS:
            reply = self.call("AUTH", PASSWORDS[port])
            if reply != "OK":
                raise ValueError(f"AUTH: {reply}")

    def close(self):
        self.socket.close()

    def line(self):
        while b"\r\n" not in self.rest:
            more = self.socket.recv(65536)
            if not more:
                raise Closed("half a reply" if self.rest else "no reply")
            self.rest += more
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line.decode()

    def call(self, *words):
        """The reply: text, a number, None; an error is text that begins with `-`."""
        request = b"*%d\r\n" % len(words)
        for word in words:
            word = str(word).encode()
            request += b"$%d\r\n%s\r\n" % (len(word), word)
        try:
            self.socket.sendall(request)
            line = self.line()
        except (ConnectionError, BrokenPipeError) as error:
            raise Closed(str(error)) from error
        kind, text = line[0], line[1:]
        if kind == ":":
            return int(text)
        if kind == "$":
            length = int(text)
            if length < 0:
                return None
            while len(self.rest) < length + 2:
                more = self.socket.recv(65536)
                if not more:
                    raise Closed("half a reply")
                self.rest += more
            value, self.rest = self.rest[:length], self.rest[length + 2 :]
            return value.decode()
        return line if kind == "-" else text


class Stream(threading.Thread):
    """INCR after INCR on a key of its own, until told to stop; remembers what it was told."""

    def __init__(self, port, key, pause):
        super().__init__(daemon=True)
        self.port, self.key, self.pause = port, key, pause
        self.stopping = threading.Event()
        self.acked = self.indeterminate = self.closed = self.refused = self.reconnects = 0
        self.errors, self.repeated = [], 0
        self.longest = 0.0
        self.last = 0

    def connect(self):
        while True:
            try:
                return Connection(self.port)
            except OSError:
                if self.stopping.is_set():
                    raise
                time.sleep(0.05)

    def run(self):
        connection, is_new = self.connect(), False
        last_reply = time.monotonic()
        while not self.stopping.is_set():
            try:
                reply = connection.call("INCR", self.key)
            except Closed as why:
                # Nothing came back. On a connection that has answered before it was closed while it
                # was idle; a new one was accepted by the port's proxy with nobody behind it, which
                # is a connection refused. Whether anything ran is seen in the data.
                if is_new:
                    self.refused += 1
                    time.sleep(0.05)
                else:
                    self.closed += 1
                if str(why) == "half a reply":
                    self.errors.append(str(why))
                connection.close()
                connection, is_new = self.connect(), True
                self.reconnects += 1
                continue
            except OSError as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                connection = self.connect()
                continue
            now, is_new = time.monotonic(), False
            self.longest = max(self.longest, now - last_reply)
            last_reply = now
            if isinstance(reply, int):
                self.acked += 1
                self.last = reply
            elif reply.startswith("-INDETERMINATE"):
                self.indeterminate += 1
            else:
                self.errors.append(reply)
            time.sleep(self.pause)
        connection.close()


class Load:
    """Some streams at once; `with` it, then ask it what the clients saw."""

    def __init__(self, port, name, streams=12, pause=0.004):
        self.port = port
        self.streams = [Stream(port, f"{name}:{n}", pause) for n in range(streams)]

    def __enter__(self):
        for stream in self.streams:
            stream.start()
        return self

    def __exit__(self, *_):
        for stream in self.streams:
            stream.stopping.set()
        for stream in self.streams:
            stream.join(90)
            assert not stream.is_alive(), f"{stream.key} hangs"

    def total(self, field):
        return sum(getattr(stream, field) for stream in self.streams)

    def errors(self):
        return [error for stream in self.streams for error in stream.errors]

    def verdict(self, closed_max=0, may_refuse=False):
        """What the clients saw, in words. Fails on errors, on lost connections beyond
        `closed_max`, on refused ones unless they are expected, and when a command ran twice."""
        assert not self.errors(), f"errors: {sorted(set(self.errors()))}"
        closed = self.total("closed")
        assert closed <= closed_max, f"{closed} connections were lost"
        refused = self.total("refused")
        assert may_refuse or not refused, f"{refused} new connections were not answered"
        connection = Connection(self.port)
        missing = 0
        for stream in self.streams:
            value = int(connection.call("GET", stream.key) or 0)
            most = stream.acked + stream.indeterminate
            assert value <= most, f"{stream.key} is {value}, at most {most} were sent"
            missing += max(0, stream.acked - value)
        connection.close()
        longest = max(stream.longest for stream in self.streams)
        return missing, (
            f"{self.total('acked')} commands, 0 errors, "
            f"{self.total('indeterminate')} INDETERMINATE, {closed} closed idle connections, "
            f"longest pause {longest:.1f} s, {missing} acknowledged writes not in the data"
        )
