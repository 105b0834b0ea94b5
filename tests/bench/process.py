"""Children of the benchmark: each on one core, its log in a file, ended by its own id."""
import os, pathlib, signal, socket, subprocess, sys, time

TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A child on one core, with its log in a file."""

    def __init__(self, name, command, core, folder, port=None, env=None):
        self.name, self.port = name, port
        self.log = open(folder / f"{name}.log", "wb")
        self.child = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)], stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})}
        )
        deadline = time.monotonic() + 60
        while port and time.monotonic() < deadline:
            if self.child.poll() is not None:
                sys.exit(f"{name} ended: see {self.log.name}\n" + pathlib.Path(self.log.name).read_text()[-2000:])
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return
            except OSError:
                time.sleep(0.1)
        if port:
            sys.exit(f"{name} does not listen on {port}: see {self.log.name}")

    def pids(self):
        found, todo = [], [self.child.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    todo += [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
            except FileNotFoundError:
                pass
        return found

    def cpu_seconds(self):
        total = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def rss_kib(self):
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        return total

    def stop(self):
        for pid in reversed(self.pids()):
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.log.close()
