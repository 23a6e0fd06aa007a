"""The Docker engine, a Swarm on it, and the stack under test: started, watched, and removed.

Touches nothing but the stack of its own name, and leaves a Swarm only where it made one.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from load import PASSWORDS

ROOT = Path(__file__).resolve().parents[2]
STACK = "slotway-test"
NODES = [f"redis-{n}" for n in range(1, 7)]


def say(text):
    print(f"   {text}", flush=True)


def run(*words, env=None, check=True, timeout=600, stdin=None, cwd=ROOT):
    """What a command printed; its output is shown when it fails."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=timeout,
        env={**os.environ, **(env or {})}, input=stdin, cwd=cwd, check=False,
        **({} if stdin is not None else {"stdin": None}),
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: code {done.returncode}\n"
                             f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout.strip()


def docker(*words, **options):
    return run("docker", *words, **options)


def wait(seconds, what, condition, pause=0.3):
    """Waits for a condition and returns its value; says what was waited for in vain."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except (AssertionError, OSError, subprocess.TimeoutExpired, ValueError) as error:
            last = error
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {what} ({last or 'no'})")


def free_port(wished):
    """The port itself where nobody listens on it, else any free one."""
    for port in (wished, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise AssertionError("no free port")


class Swarm:
    """The stack under test, from an empty Swarm; `with` it, and it is gone afterwards."""

    def __init__(self):
        self.port, self.admin = free_port(7010), free_port(7020)
        self.prometheus_port = free_port(9090)
        self.scratch = Path(tempfile.mkdtemp(prefix="slotway-swarm-"))
        self.image = os.environ.get("SLOTWAY_IMAGE", "slotway-test")
        self.made_swarm = False
        self.env = {
            "STACK": STACK,
            "SLOTWAY_IMAGE": self.image,
            "REDIS_IMAGE": os.environ.get("REDIS_IMAGE", "slotway-stand-in/redis"),
            "PROMETHEUS_IMAGE": os.environ.get("PROMETHEUS_IMAGE", "slotway-stand-in/prometheus"),
            "GRAFANA_REPLICAS": "0",
            "GATEWAY_PORT": str(self.port),
            "ADMIN_PORT": str(self.admin),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "RESOLVE_IMAGE": "never",
            "REDIS_PASSWORD_FILE": str(self.scratch / "redis-password"),
            "CLIENT_PASSWORD_FILE": str(self.scratch / "client-password"),
        }
        if self.port != 7010:
            say(f"port 7010 is in use on this machine; the gateway is on {self.port}")

    def __enter__(self):
        try:
            state = docker("info", "--format", "{{.Swarm.LocalNodeState}}")
            if state == "inactive":
                docker("swarm", "init", "--advertise-addr", "127.0.0.1",
                       "--listen-addr", "127.0.0.1:2377")
                self.made_swarm = True
            self.remove()
            for name in ("redis-password", "client-password"):
                (self.scratch / name).write_text(secrets.token_hex(32))
            PASSWORDS[self.port] = self.password("client")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.remove()
        if self.made_swarm:
            docker("swarm", "leave", "--force", check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def remove(self):
        """Removes the stack with its volumes, configs and secrets, and waits until it is gone."""
        docker("stack", "rm", STACK, check=False)
        label = f"label=com.docker.stack.namespace={STACK}"
        for container in docker("ps", "-q", "--filter", label, "--filter", "status=paused").split():
            docker("unpause", container, check=False)

        def is_gone():
            # Swarm leaves the containers of jobs behind; what runs ends in its own time.
            for container in docker("ps", "-aq", "--filter", label, "--filter", "status=exited").split():
                docker("rm", container, check=False)
            return not docker("ps", "-aq", "--filter", label)

        wait(120, "the stack is gone", is_gone)
        for volume in docker("volume", "ls", "-q").split():
            if volume.startswith(f"{STACK}_"):
                docker("volume", "rm", volume, check=False)
        wait(60, "its network is gone", lambda: not docker("network", "ls", "-q", "--filter", label))

    def script(self, *words, **options):
        """A script of the folder swarm/."""
        return run(f"swarm/{words[0]}", *words[1:], env=self.env, **options)

    def password(self, whose):
        """What nodes ("redis") or gateways ("client") ask for."""
        return (self.scratch / f"{whose}-password").read_text()

    def by_hand(self):
        """The environment that `docker stack deploy` needs, as swarm/deploy tells it."""
        lines = self.script("deploy", "--variables").splitlines()
        pairs = (line.removeprefix("export ").split("=", 1) for line in lines)
        return {**self.env, **{name: value.strip("'") for name, value in pairs}}

    def container(self, service):
        """The running container of a service, "" while there is none."""
        found = docker("ps", "-q", "--filter", f"label=com.docker.swarm.service.name={STACK}_{service}",
                       "--filter", "status=running").split()
        return found[0] if found else ""

    def address(self, node):
        """The address of a node in the overlay."""
        networks = json.loads(docker("inspect", "--format", "{{json .NetworkSettings.Networks}}",
                                     self.container(node)))
        return networks[f"{STACK}_cluster"]["IPAddress"]

    def cli(self, node, *words):
        """One command, asked at the node itself."""
        return docker("exec", self.container(node), "sh", "-c",
                      'REDISCLI_AUTH=$(cat /run/secrets/redis_password) exec redis-cli "$@"',
                      "sh", *words, timeout=10)

    def info(self, node, field):
        lines = dict(line.split(":", 1) for line in self.cli(node, "info", "replication").splitlines()
                     if ":" in line)
        return lines.get(field, "").strip()

    def by_role(self, role):
        return [node for node in NODES if self.info(node, "role") == role]

    def is_whole(self):
        """Whether all nodes answer and the keeper says that nothing is amiss."""
        if not all(self.container(node) for node in NODES):
            return False
        keeper = self.container("keeper")
        done = subprocess.run(["docker", "exec", keeper, "/usr/local/bin/slotway", "healthcheck",
                               "--ready"], capture_output=True, check=False)
        return keeper and done.returncode == 0

    def whole(self, seconds=90):
        """Waits until the cluster is whole; how long that took."""
        begin = time.monotonic()
        wait(seconds, "the cluster is whole", self.is_whole)
        return time.monotonic() - begin

    def tasks(self):
        """Every task that the nodes, the keeper and the gateway ever had."""
        services = [f"{STACK}_{name}" for name in (*NODES, "keeper", "gateway")]
        return sorted(docker("service", "ps", "-q", "--no-trunc", *services).split())

    def pid(self, service):
        return docker("inspect", "--format", "{{.State.Pid}}", self.container(service))
