"""What happens to nodes and gateways, and what clients see of it: killed, paused, cut off, moved."""

import json
import os
import shutil
import subprocess
import time

from engine import NODES, ROOT, STACK, docker, run, say, wait
from load import Connection, Load

# Replication is asynchronous: what a master acknowledged in its last moment may die with it.
LAST_MOMENT = 200


def forms(swarm):
    """An empty Swarm to the first SET in less than 90 s, with nothing but `docker stack deploy`."""
    deploy = ("docker", "stack", "deploy", "--resolve-image", "never", "-c", "swarm/stack.yml", STACK)
    bare = {name: value for name, value in swarm.env.items() if "PASSWORD" not in name}
    refused = subprocess.run(deploy, env={**os.environ, **bare}, capture_output=True, text=True,
                             check=False, cwd=ROOT)
    assert refused.returncode != 0 and "run swarm/deploy" in refused.stderr, refused.stderr
    assert not docker("stack", "ls", "--format", "{{.Name}}").count(STACK), "it made something"
    say("without passwords there is no stack, and it says how to make them")

    begin = time.monotonic()
    run(*deploy, env=swarm.by_hand())

    def first_set():
        connection = Connection(swarm.port, timeout=30)
        return connection.call("SET", "first", "1") == "OK"

    wait(120, "a first SET through the gateway", first_set, pause=0.1)
    took = time.monotonic() - begin
    assert took < 90, f"the first SET took {took:.0f} s"
    swarm.whole()
    say(f"first SET {took:.1f} s after docker stack deploy; whole after {time.monotonic() - begin:.1f} s")

    for node in NODES:
        assert not docker("port", swarm.container(node)), f"{node} has a port of the host"
    for replica in swarm.by_role("slave"):
        master = swarm.info(replica, "master_host")
        beside = NODES[(NODES.index(replica) + 3) % 6]
        assert master != swarm.address(beside), f"{replica} follows {beside}, its neighbour"
    gateway = json.loads(docker("inspect", swarm.container("gateway")))[0]
    assert gateway["Config"]["User"] == "65532:65532"
    assert gateway["HostConfig"]["ReadonlyRootfs"] and gateway["HostConfig"]["CapDrop"] == ["ALL"]
    status = open(f"/proc/{swarm.pid('gateway')}/status").read()
    assert "CapEff:\t0000000000000000" in status and "Uid:\t65532" in status
    say("the gateway: uid 65532, no capabilities, read-only root; no port of a node on the host")


def deploys_twice(swarm):
    """The same deploy again changes nothing; a changed config does."""
    before = swarm.tasks()
    again = swarm.by_hand()
    for _ in range(2):
        docker("stack", "deploy", "--resolve-image", "never", "-c", "swarm/stack.yml", STACK, env=again)
    time.sleep(5)
    assert swarm.tasks() == before, "a second deploy made new tasks"
    say("deployed twice more: the same tasks")
    others = [swarm.container(service) for service in (*NODES, "keeper")]
    changed = swarm.scratch / "changed"
    shutil.copytree(ROOT / "swarm", changed / "swarm", ignore=shutil.ignore_patterns("local"))
    with open(changed / "swarm/slotway.toml", "a", encoding="utf-8") as file:
        file.write('\n[log]\nformat = "json"\n')
    takes_up(swarm, changed / "swarm/deploy", "json")
    takes_up(swarm, ROOT / "swarm/deploy", "text")
    assert [swarm.container(service) for service in (*NODES, "keeper")] == others, "others began anew"
    say("a changed config deployed, and the old one again: a new gateway each time, the same nodes")


def takes_up(swarm, deploy, log_format):
    """Deploys; waits for a new gateway, which has this setting and serves."""
    run(deploy, env=swarm.env)

    def serves():
        container = swarm.container("gateway")
        page = docker("exec", container, "/usr/local/bin/slotway", "check-config", "/etc/slotway.toml")
        return f'"{log_format}"' in page and Connection(swarm.port).call("PING") == "PONG"

    wait(120, f"a gateway with a log in {log_format}", serves)


def shift(swarm):
    """A master, of which clients have keys."""
    return swarm.by_role("master")[0]


def takes_over(swarm, node):
    """Waits until a replica serves in place of a master."""
    others = [other for other in NODES if other != node]
    def promoted():
        masters = [other for other in others if swarm.info(other, "role") == "master"]
        return len(masters) >= 3
    wait(60, f"a replica of {node} takes over", promoted)


def trouble(swarm, name, make, after=None, missing_max=LAST_MOMENT):
    """One kind of trouble with a master under load: clients wait, the cluster heals."""
    swarm.whole()
    node = shift(swarm)
    old = swarm.address(node)
    with Load(swarm.port, name) as load:
        time.sleep(1)
        begin = time.monotonic()
        make(node)
        if after:
            takes_over(swarm, node)
            after(node)
        time.sleep(1)
        wait(120, f"{node} is back", lambda: swarm.container(node) and swarm.cli(node, "ping"))
        swarm.whole(120)
        whole = time.monotonic() - begin
        time.sleep(1)
    missing, saw = load.verdict()
    assert missing <= missing_max, f"{missing} acknowledged writes are gone"
    say(f"{node} {old} -> {swarm.address(node)}: whole after {whole:.1f} s; clients: {saw}")


def killed(swarm):
    """A task of Redis is killed."""
    trouble(swarm, "killed", lambda node: docker("kill", swarm.container(node)))


def paused(swarm):
    """A container is frozen until somebody else has taken over."""
    frozen = {}

    def freeze(node):
        frozen[node] = swarm.container(node)
        docker("pause", frozen[node])

    def thaw(node):
        docker("unpause", frozen[node])

    trouble(swarm, "paused", freeze, after=lambda node: (time.sleep(3), thaw(node)))


def firewall(swarm, node, change):
    """Cuts a node from every network (`-I`), or puts it back (`-D`)."""
    pid = swarm.pid(node)
    for chain, direction in (("INPUT", "-i"), ("OUTPUT", "-o")):
        run("nsenter", "-t", pid, "-n", "iptables", change, chain, "!", direction, "lo", "-j", "DROP")


def cut(swarm):
    """A node is cut from the network, both ways, and comes back."""
    trouble(swarm, "cut", lambda node: firewall(swarm, node, "-I"),
            after=lambda node: (time.sleep(3), firewall(swarm, node, "-D")))


def rescheduled(swarm):
    """Swarm starts a task anew, with another address."""
    def update(node):
        docker("service", "update", "--quiet", "--force", "--detach=true", f"{STACK}_{node}")
        old = swarm.container(node)
        wait(60, f"a new task of {node}", lambda: swarm.container(node) not in ("", old))
    trouble(swarm, "rescheduled", update)


def all_at_once(swarm):
    """All six tasks are started anew at once; the cluster is whole within 60 s with its data."""
    swarm.whole()
    connection = Connection(swarm.port)
    for n in range(2000):
        assert connection.call("SET", f"kept:{n}", f"value {n}") == "OK"
    connection.close()
    time.sleep(1.5)
    old = {node: (swarm.container(node), swarm.address(node)) for node in NODES}
    begin = time.monotonic()
    # Without a word to them, and so that nobody gets the address it had.
    for node in NODES:
        docker("service", "scale", "--detach=true", f"{STACK}_{node}=0")
    wait(90, "all nodes have stopped", lambda: not any(swarm.container(node) for node in NODES))
    holder = docker("run", "-d", "--rm", "--network", f"{STACK}_cluster", "--entrypoint", "sleep",
                    swarm.env["REDIS_IMAGE"], "600")
    try:
        stopped = time.monotonic()
        for node in reversed(NODES):
            docker("service", "scale", "--detach=true", f"{STACK}_{node}=1")
        wait(90, "all tasks run", lambda: all(swarm.container(node) for node in NODES), pause=0.1)
        started = time.monotonic()
        swarm.whole()
        healed = time.monotonic()
    finally:
        docker("kill", holder, check=False)
    moved = sum(swarm.address(node) != old[node][1] for node in NODES)
    assert all(swarm.container(node) != old[node][0] for node in NODES)
    assert moved >= 4, f"only {moved} addresses changed"
    assert healed - started < 60, f"healed {healed - started:.0f} s after the last task ran"
    connection = Connection(swarm.port)
    for n in range(2000):
        assert connection.call("GET", f"kept:{n}") == f"value {n}", f"key {n} is lost"
    connection.close()
    say(f"six tasks stopped after {stopped - begin:.1f} s, running {started - stopped:.1f} s later, "
        f"whole {healed - started:.1f} s after that; {moved} of 6 addresses changed; 2000 keys intact")


def all_restart_under_load(swarm):
    """All six tasks are updated at once while clients write: they wait, and lose nothing."""
    swarm.whole()
    old = {node: (swarm.container(node), swarm.address(node)) for node in NODES}
    with Load(swarm.port, "all") as load:
        time.sleep(1)
        begin = time.monotonic()
        for node in NODES:
            docker("service", "update", "--quiet", "--force", "--detach=true", f"{STACK}_{node}")
        wait(90, "six new tasks", lambda: all(
            swarm.container(node) not in ("", old[node][0]) for node in NODES))
        new = time.monotonic() - begin
        swarm.whole(60)
        whole = time.monotonic() - begin
        time.sleep(1)
    missing, saw = load.verdict()
    moved = sum(swarm.address(node) != old[node][1] for node in NODES)
    say(f"six updated at once: all new after {new:.1f} s, whole after {whole:.1f} s, "
        f"{moved} of 6 addresses changed; clients: {saw}")


def gateway_update(swarm):
    """A rolling update of the gateway: a client that reconnects loses no command."""
    swarm.whole()
    old = swarm.container("gateway")
    with Load(swarm.port, "update") as load:
        time.sleep(1)
        begin = time.monotonic()
        docker("service", "update", "--quiet", "--detach=true", "--env-add", "ROLLED=1",
               f"{STACK}_gateway")
        wait(120, "a new gateway", lambda: swarm.container("gateway") not in ("", old))
        before = {stream: stream.acked for stream in load.streams}
        wait(60, "clients are back", lambda: all(
            stream.reconnects and stream.acked > before[stream] + 10 for stream in load.streams))
        took = time.monotonic() - begin
        time.sleep(2)
    missing, saw = load.verdict(closed_max=len(load.streams), may_refuse=True)
    # What was not answered did not run, and what was answered is there: exactly once.
    assert missing == 0
    for stream in load.streams:
        assert stream.last == stream.acked, f"{stream.key}: {stream.last} for {stream.acked} replies"
    say(f"the gateway was replaced in {took:.1f} s; clients: {saw}")


def readable(path):
    """A page of the admin port."""
    return subprocess.run(["curl", "-s", "-m", "5", path], capture_output=True, text=True,
                          check=False).stdout
