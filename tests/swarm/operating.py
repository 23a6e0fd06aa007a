"""What an operator does: benchmark, watch, roll, rotate, scale, back up; and the laptop's Compose."""

import json
import socket
import time
from urllib.parse import quote
from urllib.request import urlopen

from engine import NODES, ROOT, STACK, docker, free_port, run, say, wait
from healing import firewall
from load import PASSWORDS, Connection, Load

SIZES = 16


def bench(swarm):
    """The sweep as a job: sixteen sizes, the report in a volume."""
    begin = time.monotonic()
    docker("stack", "deploy", "--resolve-image", "never", "-c", "swarm/bench.yml", STACK,
           env={**swarm.by_hand(), "BENCH_ARGS": "--duration 300ms --warmup 0s --connections 8"})
    service = f"{STACK}_bench"

    def ended():
        states = docker("service", "ps", "--format", "{{.CurrentState}}", service).splitlines()
        return any(state.startswith("Complete") for state in states)

    try:
        wait(120, "the job is complete", ended)
    except AssertionError:
        say(docker("service", "logs", "--tail", "20", service, check=False))
        raise
    took = time.monotonic() - begin
    report = docker("run", "--rm", "--network", "none", "--entrypoint", "cat",
                    "-v", f"{STACK}_bench:/results:ro", swarm.env["REDIS_IMAGE"], "/results/summary.csv")
    rows = report.splitlines()[1:]
    assert len(rows) == 2 * SIZES, f"{len(rows)} rows in the report:\n{report}"
    docker("service", "rm", service)
    say(f"the job took {took:.1f} s; its volume has a report of {len(rows)} rows: "
        f"{SIZES} sizes, set and get")


def ask(swarm, path):
    with urlopen(f"http://127.0.0.1:{swarm.prometheus_port}/api/v1/{path}", timeout=5) as answer:
        return json.load(answer)["data"]


def monitoring(swarm):
    """The rules hold; Prometheus finds every gateway, the keeper and all nodes; an alert fires."""
    promtool = ("run", "--rm", "--network", "none", "-v", f"{ROOT}/swarm/monitoring:/rules:ro",
                "--entrypoint", "promtool", swarm.env["PROMETHEUS_IMAGE"])
    checked = docker(*promtool, "check", "rules", "/rules/rules.yml")
    docker(*promtool, "test", "rules", "/rules/rules.test.yml")
    say(f"promtool: {checked.splitlines()[-1].strip()}, and their tests pass")

    swarm.script("deploy", "swarm/stack.monitoring.yml")
    begin = time.monotonic()

    def all_seen():
        found = ask(swarm, "targets")["activeTargets"]
        up = sorted(target["labels"]["job"] for target in found if target["health"] == "up")
        return up == ["gateway", "keeper"]

    wait(90, "Prometheus scrapes the gateway and the keeper", all_seen)
    # A gateway that is being replaced may be the one that was seen; the next has to know the nodes too.
    wait(120, "the gateway is updated", lambda: docker(
        "service", "inspect", f"{STACK}_gateway", "--format",
        "{{with .UpdateStatus}}{{.State}}{{end}}").strip() in ("", "completed"))
    fresh = quote(f"timestamp(slotway_node_up == 1) > {time.time():.0f}")
    wait(60, "it sees six nodes", lambda: len(
        ask(swarm, f"query?query={fresh}")["result"]) == len(NODES))
    say(f"Prometheus scrapes the gateway and the keeper and sees six nodes up "
        f"({time.monotonic() - begin:.1f} s after the deploy)")

    def firing(name):
        return [alert for alert in ask(swarm, "alerts")["alerts"]
                if alert["labels"]["alertname"] == name and alert["state"] == "firing"]

    assert not firing("NodeDown")
    node = swarm.by_role("slave")[0]
    begin = time.monotonic()
    firewall(swarm, node, "-I")
    try:
        alert = wait(120, "NodeDown fires", lambda: firing("NodeDown"), pause=1)[0]
        assert alert["labels"]["node"].startswith(node), alert
        fired = time.monotonic() - begin
    finally:
        firewall(swarm, node, "-D")
    wait(60, "NodeDown is over", lambda: not firing("NodeDown"), pause=1)
    swarm.whole()
    say(f"{node} cut off: NodeDown fired after {fired:.0f} s, and ended when it was back")
    for service in ("prometheus", "grafana"):
        docker("service", "rm", f"{STACK}_{service}")


def rotation(swarm):
    """The password is changed, every node rolled, under load; then a dry run changes nothing."""
    swarm.whole()
    before, old = swarm.tasks(), running(swarm)
    for words in (["redeploy", "--dry-run"], ["redeploy", "--dry-run", "--force"],
                  ["rotate-password", "--dry-run"], ["scale", "--dry-run", "8"],
                  ["backup", "--dry-run", "nowhere"]):
        swarm.script(*words)
    assert swarm.tasks() == before and not (ROOT / "nowhere").exists()
    begin = time.monotonic()
    before_it = swarm.password("redis")
    with Load(swarm.port, "rotated") as load:
        swarm.script("rotate-password", timeout=500)
        time.sleep(1)
    missing, saw = load.verdict(closed_max=len(load.streams), may_refuse=True)
    assert swarm.password("redis") != before_it
    assert old.isdisjoint(running(swarm))
    swarm.whole()
    say(f"password rotated and all nodes rolled in {time.monotonic() - begin:.0f} s; clients: {saw}")


def first_words(host, port):
    """What a stranger is told who says PING in both ways that Redis knows."""
    said = []
    for words in (b"PING\r\n", b"*1\r\n$4\r\nPING\r\n"):
        with socket.create_connection((host, port), timeout=10) as stream:
            stream.sendall(words)
            said.append(stream.recv(4096).decode(errors="replace"))
    return said


def published(swarm):
    """Every port of this machine that a service of the stack has."""
    ports = set()
    for service in docker("stack", "services", "--format", "{{.Name}}", STACK).split():
        found = json.loads(docker("service", "inspect", "--format", "{{json .Endpoint.Ports}}", service))
        ports |= {port["PublishedPort"] for port in found or []}
    return sorted(ports)


def strangers(swarm):
    """A stranger gets NOAUTH wherever Redis is spoken, and finds no password; it can be replaced."""
    swarm.whole()
    words = run("ip", "-4", "route", "get", "192.0.2.1", check=False).split()
    own = [words[words.index("src") + 1]] if "src" in words else []
    redis, http = [], []
    for port in published(swarm):
        for host in ("127.0.0.1", *own):
            answers = first_words(host, port)
            speaks_redis = any(answer[:1] in ("+", "-", ":", "$", "*") for answer in answers)
            if speaks_redis:
                assert all(a.startswith("-NOAUTH ") for a in answers), f"{host}:{port}: {answers}"
            (redis if speaks_redis else http).append((host, port))
    assert swarm.port in {port for _, port in redis}, f"nobody speaks Redis: {redis} {http}"
    asked = docker("exec", swarm.container("redis-1"), "redis-cli", "-h", "redis-2", "ping")
    assert asked.startswith("NOAUTH"), f"a node to one who is in the overlay: {asked}"

    passwords = [swarm.password("client"), swarm.password("redis")]
    told = [urlopen(f"http://{host}:{port}{path}", timeout=10).read().decode()
            for host, port in http if port == swarm.admin
            for path in ("/metrics", "/api/v1/status", "/version")]
    for service in docker("stack", "services", "--format", "{{.Name}}", STACK).split():
        told.append(docker("service", "inspect", service))
        told.append(docker("service", "logs", "--raw", service, check=False))
    assert not any(password in text for password in passwords for text in told), "a password shows"

    swarm.script("rotate-password", "--client", timeout=300)
    assert swarm.password("client") != passwords[0]

    def only_the_new_one():
        PASSWORDS[swarm.port] = passwords[0]
        try:
            Connection(swarm.port)
            return False
        except ValueError as error:
            assert "WRONGPASS" in str(error), error
        finally:
            PASSWORDS[swarm.port] = swarm.password("client")
        return Connection(swarm.port).call("PING") == "PONG"

    wait(60, "the gateway asks for the new password, and for no other", only_the_new_one)
    left = [name for name in docker("secret", "ls", "--format", "{{.Name}}").split()
            if name.startswith(f"{STACK}-client-password-")]
    assert len(left) == 1, left
    say(f"NOAUTH on {redis}, no Redis on {http}; no password in the services, their logs or the "
        "admin port; the password of clients replaced")


def running(swarm):
    """The containers of the nodes, as they are now."""
    return {swarm.container(node) for node in NODES}


def scaling(swarm):
    """3+3 becomes 4+4 and 3+3 again under load."""
    with Load(swarm.port, "scaled") as load:
        begin = time.monotonic()
        swarm.script("scale", "8", timeout=400)
        grown = time.monotonic() - begin
        nodes = swarm.cli("redis-7", "cluster", "nodes")
        slots = [line for line in nodes.splitlines() if "master" in line and line.split()[8:]]
        assert len(nodes.splitlines()) == 8 and len(slots) == 4, nodes
        begin = time.monotonic()
        swarm.script("scale", "6", timeout=400)
        shrunk = time.monotonic() - begin
        assert len(swarm.cli("redis-1", "cluster", "nodes").splitlines()) == 6
        time.sleep(1)
    missing, saw = load.verdict()
    assert missing == 0
    say(f"four and four after {grown:.0f} s, three and three again {shrunk:.0f} s later; clients: {saw}")


def backup(swarm):
    """What was backed up is there again after everything else was lost."""
    swarm.whole()
    connection = Connection(swarm.port)
    for n in range(500):
        assert connection.call("SET", f"saved:{n}", n) == "OK"
    time.sleep(1.5)
    folder = swarm.scratch / "backup"
    begin = time.monotonic()
    swarm.script("backup", folder)
    saved = time.monotonic() - begin
    assert len(list(folder.glob("redis-*.tar"))) == len(NODES)
    connection.call("FLUSHALL")
    connection.call("SET", "since", "1")
    connection.close()
    begin = time.monotonic()
    swarm.script("restore", "--yes", folder)
    restored = time.monotonic() - begin

    def is_there():
        connection = Connection(swarm.port)
        return all(connection.call("GET", f"saved:{n}") == str(n) for n in range(500))

    wait(60, "the data is back", is_there)
    assert Connection(swarm.port).call("GET", "since") is None
    say(f"six volumes copied in {saved:.1f} s; restored and whole in {restored:.1f} s")


def compose(swarm):
    """The laptop's file, with the same images: a cluster, and no gateway when it is gone."""
    gateway, admin = free_port(17110), free_port(17120)
    env = {**swarm.env, "GATEWAY_PORT": str(gateway), "ADMIN_PORT": str(admin)}
    words = ("docker-compose", "-p", f"{STACK}-compose", "-f", "docker/compose.yml")
    begin = time.monotonic()
    try:
        run(*words, "up", "-d", env=env)
        wait(90, "a first SET", lambda: Connection(gateway, timeout=30).call("SET", "a", "1") == "OK")
        say(f"docker-compose up: first SET after {time.monotonic() - begin:.1f} s")
    finally:
        run(*words, "kill", env=env, check=False)
        run(*words, "down", "-v", "-t", "0", env=env, check=False)
