"""Other ways of starting a container, for the same program: runc, and docker where the machine can have it."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time

from bench import Failed, compiled, ms, note, wait_for

FIRST, LAST = "first-instruction=", "last-instruction="
DAEMON_SECONDS = 30


@contextlib.contextmanager
def peers():
    """Those that work here, runc first."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(Runc())]
        docker = Docker()
        try:
            found.append(stack.enter_context(docker))
        except (OSError, Failed, subprocess.CalledProcessError) as why:
            docker.end()
            note(f"without docker: {why}")
        yield found


class Peer:
    """A container's life as a process of this machine that ends with it and passes its output on."""

    def run(self, name):
        """The command that runs the program in a new container, in the foreground."""
        raise NotImplementedError

    def stop(self, name):
        """Has SIGTERM sent to it."""
        raise NotImplementedError

    def begin(self):
        name = f"renga-bench-{time.time_ns()}"
        began = time.time()
        process = subprocess.Popen(self.run(name), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True)
        return name, began, process

    def one_life(self):
        """Milliseconds to the first instruction, and from the last one until nothing of it is left."""
        name, began, process = self.begin()
        first = instruction(process, FIRST)
        self.stop(name)
        last = instruction(process, LAST)
        process.wait()
        return ms(first - began), ms(time.time() - last)

    def one_burst(self, count):
        lives = [self.begin() for _ in range(count)]
        firsts = [instruction(process, FIRST) for _, _, process in lives]
        for name, _, process in lives:
            self.stop(name)
            process.stdout.read()
            process.wait()
        return ms(max(firsts) - lives[0][1])


def instruction(process, mark):
    line = process.stdout.readline()
    if not line.startswith(mark):
        raise Failed(f"{mark} was expected, not {line!r}")
    return int(line.removeprefix(mark)) / 1e9


class Runc(Peer):
    """The distribution's runc with an unpacked bundle: no disk, no network, no log."""

    name, remark = "runc", "runc: `runc run` of a prepared bundle"

    def __enter__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="renga-bench-runc-"))
        (self.home / "rootfs/proc").mkdir(parents=True)
        shutil.move(compiled("clock", self.home / "rootfs/bin"), self.home / "rootfs/bin/clock")
        subprocess.run(["runc", "spec", "--bundle", self.home], check=True)
        config = json.loads((self.home / "config.json").read_text())
        config["process"].update(terminal=False, args=["/bin/clock"])
        (self.home / "config.json").write_text(json.dumps(config))
        return self

    def run(self, name):
        return ["runc", "run", "--bundle", self.home, name]

    def stop(self, name):
        subprocess.run(["runc", "kill", name, "TERM"], check=True)

    def __exit__(self, *_):
        shutil.rmtree(self.home, ignore_errors=True)


class Docker(Peer):
    """A daemon of our own with the distribution's packages: no network, no log."""

    name, remark = "docker", "docker: `docker run --network none` of an image that is there"

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="renga-bench-docker-"))
        self.socket = f"unix://{self.home}/docker.sock"
        self.daemon = None

    def __enter__(self):
        if not shutil.which("dockerd"):
            raise Failed("there is no dockerd")
        folders = ["--data-root", self.home / "data", "--exec-root", self.home / "exec", "--pidfile", self.home / "pid"]
        command = ["dockerd", "--host", self.socket, *folders, "--bridge", "none", "--iptables=false"]
        self.daemon = subprocess.Popen(command, stdout=open(self.home / "log", "wb"), stderr=subprocess.STDOUT)
        wait_for("dockerd", DAEMON_SECONDS, self.answers)
        image = self.home / "image.tar"
        with tarfile.open(image, "w") as archive:
            archive.add(compiled("clock", self.home / "bin"), arcname="bin/clock")
        subprocess.run(self.docker("import", "-c", 'CMD ["/bin/clock"]', image, "clock"), check=True, capture_output=True)
        return self

    def answers(self):
        if self.daemon.poll() is not None:
            raise Failed(f"dockerd ended: {(self.home / 'log').read_text(errors='replace')[-600:]}")
        return subprocess.run(self.docker("version"), capture_output=True).returncode == 0

    def docker(self, *words):
        return ["docker", "--host", self.socket, *words]

    def run(self, name):
        return self.docker("run", "--rm", "--network", "none", "--log-driver", "none", "--name", name, "clock")

    def stop(self, name):
        subprocess.run(self.docker("kill", "--signal", "TERM", name), check=True, capture_output=True)

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.terminate()
            self.daemon.wait(30)
        mounts = [line.split()[1] for line in pathlib.Path("/proc/self/mounts").read_text().splitlines() if str(self.home) in line]
        for mount in reversed(mounts):
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(self.home, ignore_errors=True)


assert os.geteuid() == 0, "containers need root"
