"""A Slurm of one controller and two nodes, each node with a network and a TMPDIR of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from faults.lab import ISOLATED, Lab, _Node, why_no_lab

__all__ = ["GPUS", "SlurmLab", "why_no_slurm"]

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
GPUS = 2
"""Of each node; files that Slurm takes for devices."""
CPUS = 2
CONFIGURATION = """
ClusterName=lab
SlurmctldHost=node0({controller})
AuthType=auth/munge
# A job that is queued again waits until its old credentials have expired.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1
MailProg=/bin/true
NodeName=node1 NodeAddr={node1} CPUs={cpus} RealMemory=4000 Gres=gpu:{gpus}
NodeName=node2 NodeAddr={node2} CPUs={cpus} RealMemory=4000 Gres=gpu:{gpus}
PartitionName=all Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""
CGROUPS = "CgroupAutomount=no\nCgroupPlugin=cgroup/v1\n"
NODE = """
mkdir -p "$TMPDIR" && mount -t tmpfs -o size=12g tmpfs "$TMPDIR"
mount -t tmpfs -o size=8g tmpfs /dev/shm
hostname "$1"; shift
"$PYTHON" -c 'import sys; from pathlib import Path
from autotuner.engines.sim_devices import make_devices
make_devices(Path(sys.argv[1]), int(sys.argv[2]))' "$TMPDIR/gpus" "$GPUS"
"$@" &
touch "$HOME/$(hostname).up"
while true; do sleep 1; done
"""


def why_no_slurm() -> str | None:
    """Why no Slurm can be had here; None where it can."""
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=_path())]:
        return f"{' and '.join(missing)} missing (Debian: slurmctld slurmd slurm-client munge)"
    return why_no_lab()


def _program(name: str) -> str:
    return shutil.which(name, path=_path()) or name


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


class SlurmLab(Lab):
    """Node 0 runs the controller and is where jobs are sent from. A context manager."""

    def __init__(self) -> None:
        super().__init__(workers=2)
        self._munged: subprocess.Popen[bytes] | None = None
        self._configure()

    def close(self) -> None:
        super().close()
        if self._munged is not None:
            self._munged.kill()
            self._munged.wait()

    def command(self, *words: str, **variables: str) -> str:
        """What a user's command on the controller prints; `variables` are the user's own."""
        node = self._nodes[0]
        enter = [
            _program("nsenter"),
            "--target",
            str(node.init.pid),
            "--mount",
            "--pid",
            "--net",
            "--uts",
        ]
        done = subprocess.run(
            [*enter, "--wd=" + str(self.folder), *words],
            env={**self._environment(), **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def job(self, number: str) -> Mapping[str, str]:
        """What Slurm says of a job."""
        words = self.command("scontrol", "show", "job", "--oneliner", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def ended(self, number: str, patience_s: float) -> Mapping[str, str]:
        """The job when it has ended."""
        deadline = time.monotonic() + patience_s
        while (job := self.job(number))["JobState"] in {
            "PENDING",
            "CONFIGURING",
            "RUNNING",
            "COMPLETING",
            "REQUEUED",
        }:
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.5)
        return job

    def told(self) -> str:
        return self._logs()

    def _configure(self) -> None:
        addresses = {"controller": self._nodes[0].address}
        addresses |= {node.host: node.address for node in self._nodes}
        text = CONFIGURATION.format(folder=self.folder, cpus=CPUS, gpus=GPUS, **addresses)
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "cgroup.conf").write_text(CGROUPS)
        (self.folder / "gpu").mkdir()
        for number in range(GPUS):
            (self.folder / "gpu" / str(number)).touch()
        devices = f"Name=gpu File={self.folder}/gpu/[0-{GPUS - 1}]\n"
        (self.folder / "gres.conf").write_text(devices)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o600)
        self.folder.chmod(0o755)

    def _boot(self, node: _Node) -> None:
        if self._munged is None:
            self._start_munge()
        daemon = ["slurmctld", "-D"] if node.number == 0 else ["slurmd", "-D"]
        words = [*ISOLATED, "--kill-child", "bash", "-c", NODE, "bash", node.host, *daemon]
        # Unlike `ip netns exec`, this leaves /sys as it is: slurmd looks for control groups there.
        enter = ["nsenter", f"--net=/run/netns/{node.namespace}"]
        node.holder = self._popen(
            ["setpriv", "--pdeathsig", "KILL", *enter, *words], self.folder / f"{node.host}.log"
        )

    def _started(self, node: _Node) -> bool:
        if not (self.folder / f"{node.host}.up").exists():
            return False
        states = subprocess.run(
            [
                _program("nsenter"),
                f"--net=/run/netns/{self._nodes[0].namespace}",
                "sinfo",
                "-hNo",
                "%N %t",
            ],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout
        return node.number == 0 or f"{node.host} idle" in states

    def _start_munge(self) -> None:
        words = ["munged", "--force", "--foreground", f"--socket={self.folder}/munge.socket"]
        words += [f"--key-file={self.folder}/munge.key", f"--pid-file={self.folder}/munge.pid"]
        words += [f"--seed-file={self.folder}/munge.seed", f"--log-file={self.folder}/munge.log"]
        self._munged = self._popen(["setpriv", "--pdeathsig", "KILL", *words], self._munge_log())

    def _munge_log(self) -> Path:
        return self.folder / "munged.log"

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RAY_", "SLURM", "AUTOTUNER_"))
        }
        own = {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "GPUS": str(GPUS),
            "PYTHON": sys.executable,
            "HOME": str(self.folder),
            # One path with a file system of its own on each node.
            "TMPDIR": str(self.folder / "tmp"),
            "PATH": _path(),
        }
        return {**kept, **own}

    def _popen(self, words: list[str], log: Path) -> subprocess.Popen[bytes]:  # type: ignore[override]
        with log.open("ab") as output:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                cwd=self.folder,
                start_new_session=True,
            )
