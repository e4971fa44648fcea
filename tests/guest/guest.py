"""The machine that users have: Debian 12 with systemd and control groups v2, started in QEMU for one test."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("RENGA_GUEST_CACHE", "/var/cache/renga/guest"))
MEMORY_MIB = 3072
CORES = 2
# The processor is emulated: all takes some ten times as long.
BOOT_SECONDS = 180
COMMAND_SECONDS = 300
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class GuestFailed(AssertionError):
    """A command in the guest that did not end as it should, or a guest that did not come up."""


class Guest:
    """`files`: path in the guest to file or folder here, put there at the first start. The disk is a throw-away copy."""

    def __init__(self, files):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="renga-guest-"))
        self.files = files
        self.process = None

    def __enter__(self):
        try:
            return self._start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def _start(self):
        payload = self.home / "payload.tar"
        with tarfile.open(payload, "w") as archive:
            for target, source in self.files.items():
                archive.add(source, arcname=target.lstrip("/"), filter=_without_caches)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.console, self.monitor = self.home / "console.log", self.home / "monitor.sock"
        self.process = subprocess.Popen(self._command(payload), stdin=subprocess.DEVNULL, stderr=open(self.home / "qemu.log", "wb"))
        self.wait_until_up()
        # A tar file is a disk: the device can be read from its start.
        self.run("tar", "-x", "-f", "/dev/vdb", "-C", "/")
        return self

    def _command(self, payload):
        drive = "if=virtio,format=raw"
        return [
            # Emulated: KVM inside a virtual machine is not to be relied on.
            *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"),
            *("-smp", str(CORES), "-m", str(MEMORY_MIB), "-display", "none", "-nodefaults"),
            *("-kernel", CACHE / "vmlinuz", "-initrd", CACHE / "initrd.img"),
            *("-append", "root=/dev/vda rw console=ttyS0 quiet loglevel=4"),
            *("-drive", f"file={CACHE / 'disk.img'},{drive},snapshot=on", "-drive", f"file={payload},{drive},readonly=on"),
            # No way out: what the tests reach is in the guest.
            *("-nic", f"user,model=virtio-net-pci,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:9000"),
            *("-serial", f"file:{self.console}", "-qmp", f"unix:{self.monitor},server=on,wait=off"),
            *("-device", "virtio-rng-pci"),
        ]

    def wait_until_up(self):
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            if self.process.poll() is not None:
                raise GuestFailed(f"qemu ended with {self.process.returncode}: {(self.home / 'qemu.log').read_text()}")
            try:
                self.boot = self.ask("cat", BOOT_ID, seconds=10)[1]
                return
            except (OSError, ValueError):
                if time.monotonic() > deadline:
                    raise GuestFailed(f"the guest did not come up:\n{self.console_tail()}") from None
                time.sleep(0.2)

    def console_tail(self):
        return self.console.read_text(errors="replace")[-4000:] if self.console.exists() else ""

    # === what is done in it ===

    def ask(self, *argv, stdin="", env=None, seconds=COMMAND_SECONDS):
        """Code, output and errors of a command."""
        ask = {"argv": [str(arg) for arg in argv], "stdin": stdin, "env": env or {}, "timeout": seconds}
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds + 30) as stream:
            stream.sendall(json.dumps(ask).encode() + b"\n")
            done = json.loads(stream.makefile().readline())
        return done["code"], done["out"], done["err"]

    def run(self, *argv, **options):
        code, out, err = self.ask(*argv, **options)
        if code != 0:
            raise GuestFailed(f"{' '.join(map(str, argv))} ended with {code} in the guest:\n{out}{err}")
        return out

    def cut_power(self):
        """What was not on the disk is lost. Returns when the machine is up again."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self.monitor))
            talk = monitor.makefile("rw")
            talk.readline()
            for command in ("qmp_capabilities", "system_reset"):
                talk.write(json.dumps({"execute": command}) + "\n")
                talk.flush()
                while "return" not in json.loads(talk.readline()):
                    pass
        # The old agent may answer for a moment more, but it knows the old boot.
        before = self.boot
        deadline = time.monotonic() + BOOT_SECONDS
        while self.boot == before:
            if time.monotonic() > deadline:
                raise GuestFailed(f"the guest did not come up again:\n{self.console_tail()}")
            time.sleep(0.1)
            self.wait_until_up()


def _without_caches(entry):
    return None if entry.name.endswith("__pycache__") else entry
