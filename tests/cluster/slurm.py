"""A SLURM cluster on this machine, for tests: a controller, two nodes with CPUs and one with two make-believe GPUs.

  python -m tests.cluster.slurm up --state FOLDER [--accounting]     # installs Debian's packages if they are missing
  python -m tests.cluster.slurm crash g1 --state FOLDER
  python -m tests.cluster.slurm down --state FOLDER [--purge]        # --purge removes the packages too

Everything listens on 127.0.0.1, each node's slurmd on a port of its own. It needs root: a job step keeps no variable
that could name the configuration, so that SLURM has to find it in /etc/slurm, and slurmd starts jobs as their user.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ETC = Path("/etc/slurm")
POLICY = Path("/usr/sbin/policy-rc.d")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
ACCOUNTING_PACKAGES = ("slurmdbd", "mariadb-server")
NODES = {"c1": 17101, "c2": 17102, "g1": 17103}
"""Ports of the nodes' slurmd; g1 has the GPUs."""
CONTROLLER_PORT, DATABASE_PORT, SLURMDBD_PORT = 17100, 17104, 17105
ACCOUNT = "birds"
DAEMONS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd")


class NoClusterError(Exception):
    """Why there can be no cluster here, as a sentence."""


@dataclass(frozen=True)
class Job:
    """A job as squeue tells it, finished ones too."""

    id: int
    state: str
    comment: str
    node: str
    began: str
    ended: str
    gpus: str


def run(*argv: str | Path, check: bool = True, timeout: float = 60) -> str:
    """Output of a command; its errors are in the exception."""
    done = subprocess.run(
        list(map(str, argv)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_until(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    """Look every fifth of a second; RuntimeError, which says what was waited for, when time is up."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise RuntimeError(f"after {seconds:.0f} s still no {what}")
        time.sleep(0.2)


def answers(*argv: str | Path) -> bool:
    """Whether a command succeeds."""
    try:
        run(*argv, timeout=20)
    except (RuntimeError, OSError, subprocess.TimeoutExpired):
        return False
    return True


def daemon_of(pid: int) -> str:
    """The name of the daemon that a process is, else nothing; a zombie that nobody reaps counts as dead."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return ""
    return name if name in DAEMONS and rest.split()[0] not in "ZX" else ""


def process_of(pid_file: Path) -> int | None:
    """The living daemon that a pid file names."""
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return None
    return pid if daemon_of(pid) else None


def children_of(pid: int) -> list[int]:
    """All processes below a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [*children_of(child), child]
    return found


def stop_daemon(pid_file: Path) -> None:
    """End a daemon in order, and after ten seconds by force."""
    pid = process_of(pid_file)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(RuntimeError):
                wait_until(lambda: process_of(pid_file) is None, 10, "end")
            if process_of(pid_file) is not None:
                os.kill(pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)


def missing_packages(accounting: bool = False) -> list[str]:
    """Which of Debian's packages are not there, judged by their programs."""
    programs = {"slurmctld": "slurmctld", "slurmd": "slurmd", "slurm-client": "sbatch", "munge": "munged"}
    if accounting:
        programs |= {"slurmdbd": "slurmdbd", "mariadb-server": "mariadbd"}
    return [package for package, program in programs.items() if not find_program(program)]


def find_program(name: str) -> str | None:
    """A program's path; daemons lie where an ordinary search path does not look."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def check_machine(accounting: bool = False) -> None:
    """Raises NoClusterError where a cluster cannot be started, or must not be."""
    if os.geteuid() != 0:
        raise NoClusterError("starting SLURM needs root")
    if ETC.joinpath("slurm.conf").exists() or ETC.joinpath("slurm.conf").is_symlink():
        where = ETC.joinpath("slurm.conf").resolve()
        raise NoClusterError(f"this machine has a SLURM configuration already ({where}), which is left alone")
    for process in Path("/proc").glob("[0-9]*"):
        if (name := daemon_of(int(process.name))) in ("slurmctld", "slurmd"):
            raise NoClusterError(f"a {name} runs here already, which is left alone")
    for port in (CONTROLLER_PORT, *NODES.values()):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise NoClusterError(f"port {port}, which the cluster would listen on, is taken") from None
    if missing_packages(accounting) and not shutil.which("apt-get"):
        raise NoClusterError(f"{', '.join(missing_packages(accounting))} are missing, and there is no apt-get")


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Keep apt from starting the daemons that it installs, which have no configuration yet."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def install(log: Path, accounting: bool = False) -> list[str]:
    """Install what is missing of Debian's packages; returns the names of all that came, for `purge`."""
    missing = missing_packages(accounting)
    if not missing:
        return []
    before = installed()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Without network this is to be told soon.
    apt = ["apt-get", "-qq", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with no_services(), log.open("ab") as stream:
        for argv in (
            [*apt, "update"],
            [*apt, "--yes", "--no-install-recommends", "install", *missing],
        ):
            done = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, timeout=600
            )
            if done.returncode:
                raise NoClusterError(f"`{' '.join(argv)}` failed (no network?); its words are in {log}")
    return sorted(installed() - before)


def installed() -> set[str]:
    """Debian's packages on this machine."""
    told = run("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package}\n").splitlines()
    return {line.split()[1] for line in told if line.startswith("ii ")}


def purge(packages: Sequence[str], log: Path) -> None:
    """Remove packages with their configuration: client tools without a controller slow every start of Snakemake."""
    if not packages:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with no_services(), log.open("ab") as stream:
        argv = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "--yes", "purge", *packages]  # another apt
        subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, timeout=600)


@dataclass
class Cluster:
    """The cluster whose state lies in a folder."""

    state: Path
    accounting: bool = False
    cpus: int = 2
    memory: int = 64000
    """CPUs and MB of each node, as SLURM is told; the machine may have less. The node with GPUs has twice the CPUs."""

    @property
    def running(self) -> Path:
        return self.state / "run"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    def pid_file(self, name: str) -> Path:
        return self.running / f"{name}.pid"

    def start(self) -> None:
        """Bring it up and wait until every node is there. What runs already is left running."""
        for folder in (self.state, self.running, self.logs, self.state / "etc", self.state / "saved"):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
        self._configure()
        self._start_munge()
        if self.accounting:
            self._start_database()
        if process_of(self.pid_file("slurmctld")) is None:
            run(find_program("slurmctld") or "slurmctld")
        wait_until(lambda: answers("scontrol", "ping"), 30, "answer of the controller")
        for node in NODES:
            self.start_node(node)
        wait_until(lambda: set(self.nodes("idle")) == set(NODES), 60, "idle nodes")

    def stop(self) -> None:
        """Cancel all jobs, end every daemon that was started here and take the configuration out of /etc/slurm."""
        if process_of(self.pid_file("slurmctld")):
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                run("scancel", "--user", pwd.getpwuid(os.geteuid()).pw_name, timeout=10)
                wait_until(lambda: not run("squeue", "--noheader", timeout=5).strip(), 10, "end of the jobs")
        for node in NODES:
            self._kill_steps(node)
        for name in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "slurmdbd", "mariadbd"):
            stop_daemon(self.pid_file(name))
        stop_daemon(Path("/run/munge/munged.pid"))
        for name in ("slurm.conf", "gres.conf", "slurmdbd.conf"):
            link = ETC / name
            if link.is_symlink() and link.readlink().is_relative_to(self.state):
                link.unlink()

    def start_node(self, node: str) -> None:
        """Start a node's slurmd; without -N it would end another node's."""
        (self.running / f"spool-{node}").mkdir(exist_ok=True)
        if process_of(self.pid_file(f"slurmd-{node}")) is None:
            self.pid_file(f"slurmd-{node}").unlink(missing_ok=True)
            run(find_program("slurmd") or "slurmd", "-N", node)

    def crash_node(self, node: str) -> None:
        """What a power cut does: slurmd, its job steps and all that they started are gone at once."""
        pid = process_of(self.pid_file(f"slurmd-{node}"))
        assert pid is not None, f"{node} is not up"
        os.kill(pid, signal.SIGKILL)
        self._kill_steps(node)
        self.pid_file(f"slurmd-{node}").unlink(missing_ok=True)

    def _kill_steps(self, node: str) -> None:
        """Kill the job steps of a node, which outlive their slurmd; each keeps a socket in the node's spool folder."""
        for socket_file in (self.running / f"spool-{node}").glob(f"{node}_*.*"):
            job, step = socket_file.name.removeprefix(f"{node}_").split(".", 1)
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    title = (process / "cmdline").read_bytes().decode(errors="replace")
                    names = {f"slurmstepd: [{job}.{step}]", f"slurmstepd: [{job}.batch]", f"slurmstepd: [{job}.extern]"}
                    if title.rstrip("\0 ") in names:
                        for pid in (int(process.name), *children_of(int(process.name))):
                            with contextlib.suppress(ProcessLookupError):
                                os.kill(pid, signal.SIGKILL)
            socket_file.unlink(missing_ok=True)

    def nodes(self, *states: str) -> list[str]:
        """Names of the nodes in one of the states."""
        return sorted(set(run("sinfo", "-h", "-N", "-t", ",".join(states), "-o", "%N").split()))

    def jobs(self) -> list[Job]:
        """Every job since the cluster was started, in the order of submission."""
        # What a job asks for as a whole, as by --gpus, stands in the long format only.
        asked = dict(
            line.split() for line in run("squeue", "-h", "--states=all", "-O", "JobID:20,tres-per-job:60").splitlines()
        )
        told = run("squeue", "-h", "--states=all", "-o", "%A|%T|%k|%N|%S|%e")
        rows = [line.split("|") for line in told.splitlines()]
        found = [Job(int(row[0]), *row[1:], gpus=asked.get(row[0], "")) for row in rows]
        return sorted(found, key=lambda job: job.id)

    def _configure(self) -> None:
        host = socket.gethostname().split(".")[0]
        accounting = "AccountingStorageType=accounting_storage/none"
        if self.accounting:
            accounting = "\n".join(
                [
                    "AccountingStorageType=accounting_storage/slurmdbd",
                    "AccountingStorageHost=127.0.0.1",
                    f"AccountingStoragePort={SLURMDBD_PORT}",
                    "AccountingStorageTRES=gres/gpu",
                    # Jobs without an account that the database knows are refused, as on most shared clusters.
                    "AccountingStorageEnforce=associations",
                ]
            )
        lines = [
            "ClusterName=aviary",
            f"SlurmctldHost={host}(127.0.0.1)",
            "SlurmUser=root",
            f"SlurmctldPort={CONTROLLER_PORT}",
            "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",
            f"SlurmctldPidFile={self.pid_file('slurmctld')}",
            f"SlurmdPidFile={self.pid_file('slurmd-%n')}",
            f"SlurmctldLogFile={self.logs}/slurmctld.log",
            f"SlurmdLogFile={self.logs}/slurmd-%n.log",
            f"StateSaveLocation={self.state}/saved",
            f"SlurmdSpoolDir={self.running}/spool-%n",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "MpiDefault=none",
            "JobAcctGatherType=jobacct_gather/linux",
            "JobAcctGatherFrequency=5",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            # CPUs and memory as written here, whatever the machine has.
            "SlurmdParameters=config_overrides",
            "GresTypes=gpu",
            "ReturnToService=2",
            # Finished jobs are remembered: without a database that is all that squeue can tell of them.
            "MinJobAge=7200",
            "SlurmctldTimeout=30",
            # A node that is silent so long has crashed.
            "SlurmdTimeout=20",
            "KillWait=3",
            "SchedulerParameters=bf_interval=5,sched_interval=5",
            accounting,
            *(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} RealMemory={self.memory} "
                f"CPUs={2 * self.cpus if node == 'g1' else self.cpus}{' Gres=gpu:2' if node == 'g1' else ''}"
                for node, port in NODES.items()
            ),
            "PartitionName=cpu Nodes=c1,c2 Default=YES DefMemPerCPU=200 MaxTime=2-00:00:00 State=UP",
            "PartitionName=gpu Nodes=g1 DefMemPerCPU=200 MaxTime=2-00:00:00 State=UP",
        ]
        database = [
            f"DbdHost={host}",
            "DbdAddr=127.0.0.1",
            f"DbdPort={SLURMDBD_PORT}",
            "SlurmUser=root",
            f"PidFile={self.pid_file('slurmdbd')}",
            f"LogFile={self.logs}/slurmdbd.log",
            "StorageType=accounting_storage/mysql",
            "StorageHost=127.0.0.1",
            f"StoragePort={DATABASE_PORT}",
            "StorageUser=slurm",
            "StoragePass=slurm",
            "StorageLoc=slurm_acct_db",
        ]
        # Any two files that can be opened do as GPUs.
        gpus = ["AutoDetect=off", *(f"NodeName=g1 Name=gpu File=/dev/{name}" for name in ("null", "zero"))]
        ETC.mkdir(exist_ok=True)
        for name, content in (("slurm.conf", lines), ("gres.conf", gpus), ("slurmdbd.conf", database)):
            path = self.state / "etc" / name
            path.write_text("\n".join(content) + "\n")
            if name == "slurmdbd.conf":
                if not self.accounting:
                    continue
                path.chmod(0o600)
            if not (ETC / name).exists():
                (ETC / name).unlink(missing_ok=True)
                (ETC / name).symlink_to(path)
        try:
            socket.gethostbyname(host)
        except OSError:
            raise NoClusterError(f"this machine's own name, {host}, is not in /etc/hosts") from None

    def _start_munge(self) -> None:
        if not Path("/etc/munge/munge.key").exists():
            run(find_program("mungekey") or "mungekey", "-c")
        user = pwd.getpwnam("munge")
        for folder, mode in (("/run/munge", 0o755), ("/var/log/munge", 0o700), ("/var/lib/munge", 0o700)):
            Path(folder).mkdir(parents=True, exist_ok=True)
            os.chown(folder, user.pw_uid, user.pw_gid)
            Path(folder).chmod(mode)
        if process_of(Path("/run/munge/munged.pid")) is None:
            argv = ("setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups")
            run(*argv, find_program("munged") or "munged", "--force")
        wait_until(lambda: answers("sh", "-c", "munge -n | unmunge"), 10, "munge")

    def _start_database(self) -> None:
        data, here = self.state / "database", self.running / "mysql"
        user = pwd.getpwnam("mysql")
        for folder in (data, here):
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, user.pw_uid, user.pw_gid)
        if not (data / "mysql").exists():
            run(
                "mariadb-install-db",
                "--no-defaults",
                "--user=mysql",
                f"--datadir={data}",
                "--skip-test-db",
                "--auth-root-authentication-method=socket",
                timeout=120,
            )
        if process_of(self.pid_file("mariadbd")) is None:
            with (self.logs / "mariadbd.log").open("ab") as stream:
                process = subprocess.Popen(
                    [
                        find_program("mariadbd") or "mariadbd",
                        "--no-defaults",
                        "--user=mysql",
                        f"--datadir={data}",
                        "--bind-address=127.0.0.1",
                        f"--port={DATABASE_PORT}",
                        f"--socket={here}/socket",
                        "--innodb-lock-wait-timeout=900",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,
                )
            self.pid_file("mariadbd").write_text(str(process.pid))
        ask = ("mariadb", "--no-defaults", "--user=root", f"--socket={here}/socket", "--execute")
        wait_until(lambda: answers(*ask, "select 1"), 60, "database")
        run(
            *ask,
            "create database if not exists slurm_acct_db; "
            "create user if not exists slurm@'%' identified by 'slurm'; "
            "grant all on slurm_acct_db.* to slurm@'%'",
        )
        if process_of(self.pid_file("slurmdbd")) is None:
            run(find_program("slurmdbd") or "slurmdbd")
        wait_until(lambda: answers("sacctmgr", "-n", "list", "cluster"), 60, "slurmdbd")
        name = pwd.getpwuid(os.geteuid()).pw_name
        for words in (
            ["cluster", "aviary"],
            ["account", ACCOUNT, "cluster=aviary"],
            ["user", name, f"account={ACCOUNT}", f"defaultaccount={ACCOUNT}"],
        ):
            # It fails where the entry is there already.
            run("sacctmgr", "-i", "add", *words, check=False)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.slurm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("up", "down", "crash", "jobs"))
    parser.add_argument("node", nargs="?", choices=tuple(NODES))
    parser.add_argument("--state", type=Path, required=True, help="folder for the cluster's state")
    parser.add_argument("--accounting", action="store_true", help="with an accounting database")
    parser.add_argument("--purge", action="store_true", help="down: remove the packages that `up` installed")
    args = parser.parse_args(argv)
    cluster = Cluster(args.state.resolve(), args.accounting)
    came = cluster.state / "packages"
    if args.what == "up":
        try:
            if process_of(cluster.pid_file("slurmctld")) is None:
                check_machine(args.accounting)
            new = install(cluster.state / "apt.log", args.accounting)
        except NoClusterError as error:
            sys.exit(f"no cluster: {error}")
        if new:
            with came.open("a") as stream:
                stream.writelines(f"{name}\n" for name in new)
        cluster.start()
        print(run("sinfo", "-N", "-o", "%N %P %t %c %m %G"), end="")
    elif args.what == "crash":
        cluster.crash_node(args.node)
    elif args.what == "jobs":
        for job in cluster.jobs():
            print(*vars(job).values())
    else:
        cluster.stop()
        if args.purge and came.exists():
            purge(came.read_text().split(), cluster.state / "apt.log")
            came.unlink()


if __name__ == "__main__":
    main()
