"""What a page of Jupyter does, for spec/notebook_spec.lua: reads steps as JSON from standard input,
one a line, runs them with a kernel, and writes what came of each as JSON, one a line. Its argument
is a folder with the kernel's specification in share/jupyter/kernels/latent."""

import base64
import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time

os.environ["JUPYTER_PATH"] = os.path.join(sys.argv[1], "share", "jupyter")

from jupyter_client.manager import KernelManager  # noqa: E402

PATIENCE = 300  # seconds; a machine may be busy


def status(pid):
    """State, parent and so on of a process."""
    with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
        return file.read().rsplit(")", 1)[1].split()


def computed(pid):
    """The processor time of a process, in clock ticks: mostly hundredths of a second."""
    return sum(map(int, status(pid)[11:13]))


def children(pid):
    """The programs that a program started, and theirs."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[int(name)] = int(status(int(name))[1])
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return sorted(found)


def exists(pid):
    try:
        return status(pid)[0] != "Z"
    except OSError:
        return False


def settle(pid):
    """Waits until a process has computed for a tenth of a second, or waits itself."""
    ticks = computed(pid)
    time.sleep(0.1)
    while computed(pid) - ticks < 10 and status(pid)[0] != "S":
        time.sleep(0.02)


class Page:
    def __init__(self):
        begun = time.monotonic()
        self.manager = KernelManager(kernel_name="latent")
        self.manager.start_kernel()
        self.connect()
        self.start = time.monotonic() - begun

    def connect(self):
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def pid(self):
        provisioner = getattr(self.manager, "provisioner", None)
        return provisioner.pid if provisioner else self.manager.kernel.pid

    def latent(self):
        """The process that computes."""
        pids = [
            pid
            for pid in children(self.pid())
            if b"serve" in open("/proc/%d/cmdline" % pid, "rb").read()
        ]
        return pids[0]

    def later(self, step, begun, over):
        """What happens while a cell runs, once it has printed something."""
        def act():
            begun.wait(PATIENCE)
            pid = self.latent()
            settle(pid)
            if step["while"] == "kill":
                os.kill(pid, signal.SIGKILL)
                return
            self.manager.interrupt_kernel()
            while step["while"] == "insist" and not over.wait(0.4):
                self.manager.interrupt_kernel()

        thread = threading.Thread(target=act)
        thread.start()
        return thread

    def execute(self, step):
        lines = list(step.get("stdin", []))
        outputs = []
        shown, over = threading.Event(), threading.Event()

        def on_input(message):
            if lines:
                self.client.input(lines.pop(0))
            else:
                self.manager.interrupt_kernel()

        def on_output(message):
            kind, content = message["msg_type"], message["content"]
            if kind in ("status", "execute_input"):
                return
            shown.set()
            last = outputs[-1] if outputs else None
            if kind == "stream" and last and last.get("name") == content["name"]:
                last["text"] += content["text"]
            else:
                outputs.append({"kind": kind, **content})

        thread = self.later(step, shown, over) if "while" in step else None
        try:
            reply = self.client.execute_interactive(
                step["code"],
                silent=step.get("silent", False),
                allow_stdin="stdin" in step,
                stop_on_error=False,
                output_hook=on_output,
                stdin_hook=on_input,
                timeout=PATIENCE,
            )["content"]
        finally:
            over.set()
        if thread:
            thread.join()
        return {
            "status": reply["status"],
            "error": reply.get("evalue"),
            "leaving": bool(reply.get("payload")),
            "outputs": [{**o, "text": o["text"][:4000]} if "text" in o else o for o in outputs],
            "printed": sum(len(o.get("text", "")) for o in outputs),
        }

    def complete(self, step):
        reply = self.client.complete(step["code"], step.get("cursor"), reply=True, timeout=PATIENCE)
        return reply["content"]

    def inspect(self, step):
        reply = self.client.inspect(step["code"], step.get("cursor"), reply=True, timeout=PATIENCE)
        return reply["content"]

    def is_complete(self, step):
        asked = self.client.is_complete(step["code"])
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == asked:
                return reply["content"]

    def kill(self, _):
        pid = self.latent()
        os.kill(pid, signal.SIGKILL)
        while exists(pid):
            time.sleep(0.01)
        return {}

    def kill_kernel(self, _):
        """Ends the kernel by force; what it started has to end too."""
        left = children(self.pid())
        self.client.stop_channels()
        os.kill(self.pid(), signal.SIGKILL)
        end = time.monotonic() + 10
        while any(map(exists, left)) and time.monotonic() < end:
            time.sleep(0.02)
        return {"were": len(left), "left": sum(map(exists, left))}

    def restart(self, step):
        """Restarts, while a cell runs if there is one."""
        if "code" in step:
            self.client.execute(step["code"])
            time.sleep(0.5)
        before = children(self.pid())
        begun = time.monotonic()
        self.client.stop_channels()
        self.manager.restart_kernel()
        self.connect()
        return {
            "seconds": time.monotonic() - begun,
            "start": self.start,
            "left": sum(map(exists, before)),
            "processes": len(children(self.pid())),
        }

    def shutdown(self, _):
        before = [self.pid(), *children(self.pid())]
        self.client.stop_channels()
        self.manager.shutdown_kernel()
        return {"left": sum(map(exists, before))}


def main():
    pages = {}
    for line in sys.stdin:
        step = json.loads(line)
        name = step.get("page", "")
        if name not in pages:
            pages[name] = Page()
        try:
            result = getattr(pages[name], step["do"])(step)
        except (queue.Empty, TimeoutError) as problem:
            result = {"status": "hangs", "error": repr(problem)}
        for output in result.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture and "keep" in step:
                with open(step["keep"], "wb") as file:
                    file.write(base64.b64decode(picture))
        print(json.dumps(result), flush=True)
        if step["do"] in ("shutdown", "kill_kernel"):
            del pages[name]
    for page in pages.values():
        page.client.stop_channels()
        page.manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
