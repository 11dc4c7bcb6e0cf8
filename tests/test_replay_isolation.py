"""Levels of isolation: what a risk asks for, the commands that reach it, and that request and answer travel through a runtime."""

from __future__ import annotations

import json
import os
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from tests.replay_recording import Recording, record
from workbench.doctor import Check, _isolation
from workbench.model import Cassette, Interaction
from workbench.replay import ForkError
from workbench.replay.isolation import IsolationError, Settings, Task, lacks, settings_of
from workbench.replay.isolation.container import Container
from workbench.replay.isolation.microvm import MicroVM, pack, unpack
from workbench.replay.isolation.risk import risk_of
from workbench.replay.isolation.settings import ContainerSettings, MicroVMSettings
from workbench.replay.protocol import Request

ENGINE = """
import json, os, sys
from pathlib import Path
arguments = sys.argv[1:]
with Path(os.environ["STUB_LOG"]).open("a") as log:
    log.write(json.dumps(arguments) + "\\n")
if arguments[0] == "info":
    print(json.dumps({"Runtimes": {"runc": {}, "runsc": {}}}))
elif arguments[0] == "run":
    entry = arguments.index("--entrypoint")
    variables = Path(arguments[arguments.index("--env-file") + 1]).read_text().splitlines()
    os.chdir(arguments[arguments.index("--workdir") + 1])
    os.execve(arguments[entry + 1], [arguments[entry + 1], *arguments[entry + 3:]], dict(line.split("=", 1) for line in variables))
"""
FIRECRACKER = """
import json, os, shutil, subprocess, sys
from pathlib import Path
config = json.loads(Path(sys.argv[sys.argv.index("--config-file") + 1]).read_text())
Path(os.environ["STUB_LOG"]).write_text(json.dumps(config))
drives = {one["drive_id"]: one["path_on_host"] for one in config["drives"]}
program, _, arguments = config["boot-source"]["boot_args"].partition("init=")[2].partition(" -- ")
guest = [*arguments.split()[:2], drives["request"], drives["answer"]]
status = subprocess.run([program, *guest], check=False).returncode
for one in Path(os.environ["STUB_INSIDE_OF"]).glob("workbench-fork-*/inside/*"):
    one.unlink()
sys.exit(status)
"""


@pytest.fixture
def runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which a docker and a firecracker stand that run what they are given on this machine, and write down how they were asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, program in (("docker", ENGINE), ("firecracker", FIRECRACKER)):
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{program}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("STUB_LOG", str(tmp_path / "asked.json"))
    monkeypatch.setenv("STUB_INSIDE_OF", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path


def configured(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text(text)
    monkeypatch.chdir(folder)


def recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setenv("LEDGER", str(folder / "ledger.txt"))
    monkeypatch.delenv("ESCAPE", raising=False)
    (folder / "recorded").mkdir()
    return record(folder / "recorded", "graph", [["book", {"flight": "NH 1"}]])


def test_through_a_container(runtimes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a risk asks for a container, the re-run goes through the engine: request and answer travel, and the receipt names the container."""
    configured(runtimes, '[tool.workbench.isolation]\nhigh = "gvisor"', monkeypatch)
    monkeypatch.setenv("STRIPE_API_KEY", "hunter2")
    forked = recorded(runtimes, monkeypatch).fork(0)
    assert forked.run.outcome == "booked NH 1"
    assert "gVisor's container without one" in forked.receipt.isolation
    run = next(one for one in map(json.loads, (runtimes / "asked.json").read_text().splitlines()) if one[0] == "run")
    assert run[run.index("--runtime") + 1] == "runsc"
    assert "hunter2" not in json.dumps(run)


def test_through_a_microvm(runtimes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a risk asks for a microVM, request and answer travel on its drives: nothing is left of the answer but what came out on one."""
    for name in ("vmlinux", "agent.ext4"):
        (runtimes / name).touch()
    settings = f'kernel = "{runtimes}/vmlinux"\nrootfs = "{runtimes}/agent.ext4"\npython = "{sys.executable}"\njailer = false'
    configured(runtimes, f'[tool.workbench.isolation]\nhigh = "firecracker"\n[tool.workbench.isolation.firecracker]\n{settings}', monkeypatch)
    monkeypatch.setattr("workbench.replay.isolation.microvm.os.access", lambda *_: True)
    forked = recorded(runtimes, monkeypatch).fork(0)
    assert forked.run.outcome == "booked NH 1"
    assert "a microVM without one" in forked.receipt.isolation
    config = json.loads((runtimes / "asked.json").read_text())
    assert "network-interfaces" not in config
    assert [(one["drive_id"], one["is_read_only"]) for one in config["drives"]] == [("rootfs", True), ("request", True), ("answer", False)]


def test_a_level_that_is_not_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A level this machine does not reach stops the fork, says what is missing, and how to choose another; nothing falls back by itself."""
    recording = recorded(tmp_path, monkeypatch)
    configured(tmp_path, '[tool.workbench.isolation]\nhigh = "firecracker"', monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ForkError, match=r"high risk .* 'firecracker', which this machine does not reach: firecracker is not on the PATH.*high = \"process\""):
        recording.fork(0)
    with pytest.raises(ForkError, match=r"this fork is to be re-run at the level 'gvisor', which this machine does not reach: docker is not on the PATH"):
        recording.fork(0, run_id="other", scratch=tmp_path / "other.sqlite", isolation="gvisor")
    assert not list(tmp_path.rglob("*.unfinished"))
    receipt = recording.fork(0, run_id="third", scratch=tmp_path / "third.sqlite", isolation="process").receipt
    assert (receipt.isolation_asked, receipt.isolation_reached in ("process", "guarded")) == ("process", True)
    with pytest.raises(ForkError, match="there is no isolation 'podman'; there are process, container, gvisor, firecracker"):
        recording.fork(0, isolation="podman")
    checks = {one.name: one for one in _isolation()}
    assert checks["level firecracker"].says.endswith("; asked for by high risk")
    assert (checks["level firecracker"].well, checks["level gvisor"]) == (False, Check("level gvisor", True, "not reached here: docker is not on the PATH"))


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A request to be done."""
    for one in ("inside", "outside"):
        (tmp_path / one).mkdir()
    (tmp_path / "request.json").write_text("{}")
    places = {"question": tmp_path / "request.json", "answer": tmp_path / "inside" / "answer.json", "inside": tmp_path / "inside"}
    variables = {"PYTHONPATH": str(tmp_path), "LANG": "C", "PATH": "/bin"}
    return Task(**places, outside=tmp_path / "outside", graph="module:graph", environment=variables, seconds=9, memory_bytes=1 << 30)


def test_container_command(task: Task) -> None:
    """A container has no network, no capabilities, no new privileges, a read-only root, bounds, and of the host only what it needs, read-only."""
    command = Container(ContainerSettings(engine="podman", image="agent:1", python="python3", cpus=1.5), 1 << 30).command(task, "one", Path("variables"))
    text = " ".join(command)
    for option in (
        "podman run --rm --interactive --name one --pull never", "--network none", "--read-only", "--cap-drop ALL", "--security-opt no-new-privileges",
        "--pids-limit 512", "--ulimit nofile=1024:1024 --ulimit nproc=512:512",
        f"--memory {1 << 30} --memory-swap {1 << 30}", "--cpus 1.5", f"--user {os.getuid()}:{os.getgid()}", "--tmpfs /tmp:rw,nosuid",
        f"--mount type=bind,source={task.inside},target={task.inside} --entrypoint python3 agent:1",
        f"agent:1 -m workbench.replay.process.child {task.question} {task.answer}",
    ):  # fmt: skip
        assert option in text
    writable = [one for one in command if one.startswith("type=bind") and not one.endswith(",readonly")]
    assert writable == [f"type=bind,source={task.inside},target={task.inside}"]
    assert "--runtime" not in command
    assert command[-1] == "podman's container"


def test_microvm_command(task: Task, tmp_path: Path) -> None:
    """A microVM is started by the jailer as nobody, with a configuration whose paths lie in its root, or by Firecracker itself."""
    jailed = MicroVM(MicroVMSettings(), 1 << 30)
    command = jailed.command(Path("base"), "one")
    assert command[1:] == ["--id", "one", "--exec-file", "firecracker", "--chroot-base-dir", "base", "--uid", "65534", "--gid", "65534", "--", "--no-api",
                           "--config-file", "config.json"]  # fmt: skip
    config = jailed.configuration("")
    assert config["drives"][0]["path_on_host"] == "rootfs.img"
    assert config["machine-config"] == {"vcpu_count": 1, "mem_size_mib": 1024, "smt": False}
    assert config["boot-source"]["boot_args"].endswith("init=/usr/bin/python3 -- -m workbench.replay.isolation.guest /dev/vdb /dev/vdc")
    alone = MicroVM(MicroVMSettings(jailer=False), 1 << 30)
    assert alone.command(Path("base"), "one")[1:] == ["--id", "one", "--no-api", "--config-file", "base/config.json"]


def test_answers_stay_inside(task: Task, tmp_path: Path) -> None:
    """What comes out of a microVM is plain files below the folder for it, whatever its archive claims; an empty drive is no answer."""
    pack(task, "python3", tmp_path / "request.img")
    assert (tmp_path / "request.img").stat().st_size % 512 == 0
    with tarfile.open(tmp_path / "answer.img", "w") as archive:
        link = tarfile.TarInfo("thread.sqlite")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.add(tmp_path / "request.json", arcname="answer.json")
    unpack(tmp_path / "answer.img", task.inside)
    assert [one.name for one in task.inside.iterdir()] == ["answer.json"]
    with tarfile.open(tmp_path / "answer.img", "w") as archive:
        archive.add(tmp_path / "request.json", arcname="../escaped.json")
    with pytest.raises(IsolationError, match="without an answer"):
        unpack(tmp_path / "answer.img", task.inside)
    assert not (tmp_path / "escaped.json").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('high = "gvisr"', "isolation.high = 'gvisr': Input should be 'process', 'container', 'gvisor' or 'firecracker'"),
        ('hihg = "gvisor"', r"isolation.hihg = 'gvisor': .*did you mean high\?"),
        ('[tool.workbench.isolation.container]\nimge = "x"', r"isolation.container.imge = 'x': .*did you mean image\?"),
        ("memory_gib = 0", "memory_gib = 0: Input should be greater than 0"),
    ],
)
def test_settings(text: str, says: str, tmp_path: Path) -> None:
    """Settings that can't be used name file, entry, value and what would be right."""
    (tmp_path / "pyproject.toml").write_text(f"[tool.workbench.isolation]\n{text}")
    with pytest.raises(IsolationError, match=says):
        settings_of(tmp_path)


@pytest.mark.parametrize(
    ("tools", "outside", "risk"),
    [(["search_flights"], (), "low"), (["frobnicate"], (), "medium"), (["search_flights", "book"], (), "high"), (["look"], ("tool:look",), "critical")],
)
def test_risk(tools: list[str], outside: tuple[str, ...], risk: str) -> None:
    """A run is as risky as what its tools do, and critical when one may be called for real; without settings every risk gets the process sandbox."""
    calls = tuple(Interaction(kind="tool", name=name, node_path="", arguments={}, result=1, step=0) for name in tools)
    fields = {"run_id": "r", "graph": "m:g", "folder": "/f", "database": "/d", "witness": "/w", "seconds": 1, "steps": (), "cut": ("", "c")}
    assert risk_of(Request(cassette=Cassette(run_id="r", interactions=calls), outside=outside, **fields)) == risk
    assert risk_of(Request(cassette=Cassette(run_id="r", interactions=calls), declared=dict.fromkeys(tools, "read-only"), **fields)) == "low"
    assert risk_of(Request(cassette=Cassette(run_id="r", interactions=calls), declared=dict.fromkeys(tools, "idempotent"), **fields)) == "high"
    assert Settings().level(risk) == "process"
    assert lacks("process", Settings()) == ""
