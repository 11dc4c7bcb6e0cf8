"""A JupyterLab of the tests' own: its folders are temporary, its kernel is the interpreter that runs the tests, and it calls nobody."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page

START_SECONDS = 90
RUN_MS = 180_000
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "apputils-extension/themes": {"theme": "JupyterLab Light"},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "defer"},  # in "full" mode a widget out of sight isn't in the page
}
PANEL = "window.jupyterapp.shell.currentWidget"
START_ALL = """() => {
  window.ran = false;
  window.jupyterapp.commands.execute("notebook:run-all-cells").then(() => { window.ran = true; });
}"""
CELLS = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  const code = panel.content.widgets.filter((cell) => cell.model.type === "code" && cell.model.sharedModel.getSource().trim());
  return code.map((cell) => ({ count: cell.model.executionCount, errors: cell.model.outputs.toJSON().filter((output) => output.output_type === "error") }));
}"""
EVALUATE = """async (expression) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({ code: "", store_history: false, silent: true, user_expressions: { value: expression } });
  const late = new Promise((_, refuse) => setTimeout(() => refuse(new Error(`the kernel did not answer ${expression} in 60 s`)), 60000));
  return (await Promise.race([future.done, late])).content.user_expressions.value;
}"""
# A promise that never comes would block the tests for ever: everything that waits has an end.


@dataclass
class Lab:
    """A running JupyterLab, and the browser context it is looked at with."""

    url: str
    token: str
    folder: Path
    context: BrowserContext | None = None
    pages: list[Page] = field(default_factory=list)

    def within(self, context: BrowserContext) -> Lab:
        """The same server, seen by one test's context."""
        return dataclasses.replace(self, context=context, pages=[])

    def open_notebook(self, path: Path, theme: str = "light", *, beside: Mapping[str, Path] | None = None, run: bool = True) -> Page:
        """Open a copy of a notebook in a folder of its own, run every cell, and give back the page.

        `beside` names files or folders to copy next to it. AssertionError when a cell raised or did not run.
        """
        folder = Path(self.folder, f"{len(list(self.folder.iterdir()))}-{path.stem}")
        folder.mkdir()
        (folder / path.name).write_text(with_kernel(path.read_text(encoding="utf-8")), encoding="utf-8")
        for name, source in (beside or {}).items():
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / name)
        page = self._open(f"{folder.name}/{path.name}")
        set_theme(page, theme)
        if run:
            run_all(page)
        return page

    def _open(self, name: str) -> Page:
        assert self.context, "use the `lab` fixture: it has a browser context"
        page = self.context.new_page()
        self.pages.append(page)
        # Lab's file browser stays out of the notebook's folder: where a store's -wal file ends while it is listed, Lab asks a person what to do about it.
        page.goto(f"{self.url}/doc/tree/{name}?token={self.token}&reset&file-browser-path=/", timeout=START_SECONDS * 1000)
        page.wait_for_function(f"() => window.jupyterapp && {PANEL}?.context?.isReady && {PANEL}.sessionContext?.isReady", timeout=START_SECONDS * 1000)
        page.wait_for_function(f"() => {PANEL}.sessionContext.session?.kernel?.status === 'idle'", timeout=START_SECONDS * 1000)
        return page

    def close(self) -> None:
        """Shut down the kernels of the pages that were opened."""
        for page in self.pages:
            if not page.is_closed():
                page.evaluate(f"() => {{ {PANEL}?.sessionContext?.shutdown(); }}")
                page.wait_for_function(f"() => !{PANEL}?.sessionContext?.session?.kernel", timeout=30_000)


def with_kernel(notebook: str) -> str:
    """A notebook that names its kernel: Lab would ask a person for one that doesn't."""
    content = json.loads(notebook)
    content["metadata"].setdefault("kernelspec", {"name": "python3", "display_name": "Python 3", "language": "python"})
    return json.dumps(content)


def set_theme(page: Page, theme: str) -> None:
    """Switch JupyterLab to light or dark and wait until it has."""
    page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", f"JupyterLab {theme.title()}")
    page.wait_for_selector(f"body[data-jp-theme-light='{'false' if theme == 'dark' else 'true'}']", state="attached")


def run_all(page: Page) -> None:
    """Run every cell and wait for the last one. AssertionError names the errors and the cells that did not run."""
    page.evaluate(START_ALL)
    page.wait_for_function("() => window.ran", timeout=RUN_MS)
    cells: list[dict[str, Any]] = page.evaluate(CELLS)
    errors = [f"{error['ename']}: {error['evalue']}" for cell in cells for error in cell["errors"]]
    assert not errors, f"cells raised {errors}"
    assert all(cell["count"] for cell in cells), f"cells did not run: execution counts are {[cell['count'] for cell in cells]}"


def kernel_value(page: Page, expression: str) -> str:
    """The `repr` of a Python expression in the notebook's kernel. RuntimeError when it raises."""
    answer = page.evaluate(EVALUATE, expression)
    if answer["status"] != "ok":
        raise RuntimeError(f"{expression}: {answer['ename']}: {answer['evalue']}")
    return str(answer["data"]["text/plain"])


def wait_for_kernel(page: Page, expression: str, expected: str, seconds: float = 20) -> None:
    """Ask the kernel until an expression has the expected `repr`: what is clicked arrives there late. AssertionError with the last value."""
    until = time.monotonic() + seconds
    while (value := kernel_value(page, expression)) != expected:
        assert time.monotonic() < until, f"{expression} is {value}, not {expected}, after {seconds} s"
        page.wait_for_timeout(50)


@contextlib.contextmanager
def start_lab(root: Path, repository: Path) -> Iterator[Lab]:
    """Run `jupyter lab` on a free loopback port until the block ends. RuntimeError with its log when it doesn't come up."""
    folders = {name: root / name for name in ("config", "data", "runtime", "settings", "workspaces", "ipython", "home", "notebooks")}
    for folder in folders.values():
        folder.mkdir()
    write_settings(folders, repository)
    port, token = free_port(), secrets.token_hex(16)
    log = root / "jupyter.log"
    with (
        log.open("wb") as stream,
        subprocess.Popen(command(port, token, folders), env=environment(folders, repository), stdout=stream, stderr=stream) as process,
    ):
        try:
            lab = Lab(f"http://127.0.0.1:{port}", token, folders["notebooks"])
            wait_until_up(lab, process, log)
            yield lab
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def write_settings(folders: Mapping[str, Path], repository: Path) -> None:
    """Lab's user settings, and a kernel that is this interpreter and finds this working copy."""
    for plugin, settings in SETTINGS.items():
        path = folders["settings"] / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings), encoding="utf-8")
    kernel = folders["data"] / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python", "env": {"PYTHONPATH": str(repository)}}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def command(port: int, token: str, folders: Mapping[str, Path]) -> list[str]:
    """The command line of a quiet JupyterLab: no browser, no news, no update check, no terminals."""
    return [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser", "--ip=127.0.0.1", f"--port={port}"),
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folders['notebooks']}",
        f"--IdentityProvider.token={token}",
        "--ServerApp.terminals_enabled=False",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "--LanguageServerManager.autodetect=False",
    ]


def environment(folders: Mapping[str, Path], repository: Path) -> dict[str, str]:
    """The environment of the tests, with Jupyter's and IPython's folders replaced."""
    return os.environ | {
        "HOME": str(folders["home"]),
        "JUPYTER_CONFIG_DIR": str(folders["config"]),
        "JUPYTER_DATA_DIR": str(folders["data"]),
        "JUPYTER_RUNTIME_DIR": str(folders["runtime"]),
        "JUPYTERLAB_SETTINGS_DIR": str(folders["settings"]),
        "JUPYTERLAB_WORKSPACES_DIR": str(folders["workspaces"]),
        "IPYTHONDIR": str(folders["ipython"]),
        "PYTHONPATH": str(repository),
    }


def free_port() -> int:
    """A port on the loopback interface that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_up(lab: Lab, process: subprocess.Popen[bytes], log: Path) -> None:
    """Poll the server's status. RuntimeError with the end of its log when it ends or takes too long."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{lab.url}/api/status?token={lab.token}", timeout=2).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not come up: {log.read_text(encoding='utf-8', errors='replace')[-3000:]}")
