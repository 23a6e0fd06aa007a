"""The address that follows a healthy gateway: the real keepalived on two hosts that are namespaces.

Three network namespaces: a switch, with a small cluster and a client in it, and two hosts with a
gateway and keepalived each. Processes it starts are its own; namespaces bear the name of the test.
"""

import json
import signal
import subprocess
import sys
import time

from engine import ROOT, docker, run, say, wait

SWITCH, HOSTS = "slotway-test-s", {"slotway-test-a": "10.99.0.11", "slotway-test-b": "10.99.0.12"}
ADDRESS, NODES = "10.99.0.100", [7301, 7302, 7303]

# Connects anew for every PING, as a client does that has lost its connection; tells of each reply.
CLIENT = f"""
import socket, time
while True:
    begin = time.time()
    try:
        with socket.create_connection(("{ADDRESS}", 7010), timeout=0.25) as one:
            one.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
            if one.recv(64) == b"+PONG\\r\\n":
                print(time.time(), flush=True)
    except OSError:
        pass
    time.sleep(max(0, begin + 0.02 - time.time()))
"""


class Hosts:
    """The namespaces and all that runs in them; gone when `with` ends."""

    def __init__(self, scratch):
        self.scratch, self.children, self.gateways = scratch, [], {}

    def inside(self, space, name, *words):
        log = open(self.scratch / f"{name}.log", "ab")
        child = subprocess.Popen(["ip", "netns", "exec", space, *map(str, words)],
                                 stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def gateway(self, host):
        self.gateways[host] = self.inside(
            host, f"gateway-{host}", self.scratch / "slotway", "run", "--seed",
            f"10.99.0.1:{NODES[0]}", "--listen", "0.0.0.0:7010", "--admin", "127.0.0.1:7020",
            "--workers", "1", "--protected-mode", "false")

    def __enter__(self):
        self.__exit__()
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        for space in (SWITCH, *HOSTS):
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", SWITCH, "link", "add", "switch", "type", "bridge")
        run("ip", "-n", SWITCH, "addr", "add", "10.99.0.1/24", "dev", "switch")
        run("ip", "-n", SWITCH, "link", "set", "switch", "up")
        for number, (host, address) in enumerate(HOSTS.items()):
            port = f"port{number}"
            run("ip", "-n", SWITCH, "link", "add", port, "type", "veth", "peer", "name", "eth0",
                "netns", host)
            run("ip", "-n", SWITCH, "link", "set", port, "master", "switch", "up")
            run("ip", "-n", host, "addr", "add", f"{address}/24", "dev", "eth0")
            run("ip", "-n", host, "link", "set", "eth0", "up")
        for port in NODES:
            folder = self.scratch / str(port)
            folder.mkdir()
            self.inside(SWITCH, f"redis-{port}", "redis-server", "--port", port, "--bind",
                        "10.99.0.1", "--dir", folder, "--cluster-enabled", "yes", "--save", "",
                        "--protected-mode", "no")
        nodes = ",".join(f"10.99.0.1:{port}" for port in NODES)
        run("ip", "netns", "exec", SWITCH, self.scratch / "slotway", "keeper", "--nodes", nodes,
            "--replicas", "0", "--once", "--wait", "30s")
        for host, address in HOSTS.items():
            self.gateway(host)
            (peer,) = [other for name, other in HOSTS.items() if name != host]
            conf = run(ROOT / "swarm/keepalived/render", "--interface", "eth0", "--address",
                       f"{ADDRESS}/24", "--own", address, "--peer", peer)
            (self.scratch / f"{host}.conf").write_text(conf + "\n")
            pids = [f"--{kind}={self.scratch}/{host}-{kind}"
                    for kind in ("pid", "vrrp_pid", "checkers_pid")]
            self.inside(host, f"keepalived-{host}", "keepalived", "--dont-fork", "--log-console",
                        "--vrrp", f"--use-file={self.scratch}/{host}.conf", *pids)

    def __exit__(self, *_):
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for space in (SWITCH, *HOSTS):
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL, check=False)

    def holders(self):
        """The hosts that have the address."""
        found = []
        for host in HOSTS:
            links = json.loads(run("ip", "-j", "-n", host, "addr", "show", "eth0"))
            if any(a.get("local") == ADDRESS for link in links for a in link["addr_info"]):
                found.append(host)
        return found

    def client(self):
        return self.inside(SWITCH, "client", sys.executable, "-c", CLIENT)

    def gap(self, since):
        """The longest time without a reply from then on."""
        times = [float(line) for line in (self.scratch / "client.log").read_text().split("\n")[:-1]]
        times = [at for at in times if at >= since - 0.5]
        return max(after - before for before, after in zip(times, times[1:]))


def moved(hosts, what, act, undo, gap_max):
    """One reason to move: how long until the other host has the address, and clients a reply."""
    (holder,) = wait(30, "one host has the address", lambda: len(hosts.holders()) == 1
                     and hosts.holders())
    (other,) = [host for host in HOSTS if host != holder]
    time.sleep(2)
    begin = time.time()
    act(holder)
    wait(30, f"{other} has the address", lambda: other in hosts.holders(), pause=0.05)
    took = time.time() - begin
    time.sleep(1.5)
    gap = hosts.gap(begin)
    assert gap < gap_max, f"clients were without an answer for {gap:.1f} s"
    undo(holder)
    time.sleep(4)
    assert hosts.holders() == [other], f"it moved back: {hosts.holders()}"
    say(f"{what}: the other host had the address after {took:.1f} s; "
        f"clients had no answer for {gap:.2f} s; it stayed there when the first came back")


def address_moves(swarm):
    """The address moves when a gateway drains, dies, or its host is cut off."""
    made = docker("create", swarm.image)
    docker("cp", f"{made}:/usr/local/bin/slotway", swarm.scratch / "slotway")
    docker("rm", made)
    (swarm.scratch / "hosts").mkdir()
    hosts = Hosts(swarm.scratch / "hosts")
    (swarm.scratch / "slotway").rename(hosts.scratch / "slotway")
    ports = dict(zip(HOSTS, ("port0", "port1")))

    def end(host, how):
        hosts.gateways[host].send_signal(how)

    def restart(host):
        hosts.gateways[host].wait(60)
        hosts.gateway(host)

    def link(host, state):
        run("ip", "-n", SWITCH, "link", "set", ports[host], state)

    def back(host):
        link(host, "up")
        # A host that was alone had the address too; hearing the other, it lets go of it.
        wait(15, "only one host has it", lambda: len(hosts.holders()) == 1)

    with hosts:
        wait(30, "one host has the address", lambda: len(hosts.holders()) == 1)
        hosts.client()
        wait(30, "a client gets an answer", lambda: (hosts.scratch / "client.log").read_text())
        moved(hosts, "drained", lambda host: end(host, signal.SIGTERM), restart, 2)
        moved(hosts, "killed", lambda host: end(host, signal.SIGKILL), restart, 6)
        moved(hosts, "cut off", lambda host: link(host, "down"), back, 6)
