"""The kernel that Jupyter talks to. What it is asked it hands on to a program `latent kernel serve`,
which has the session; it does no Lua itself."""

import signal

from ipykernel.kernelbase import Kernel

from .process import PROTOCOL, Ended, Latent

STARTING = 60  # seconds
MOST_PRINTED = 8_000_000  # characters a cell; a page cannot hold more
MOST_UNSEEN = 4000
NEXT = "What the cells defined is gone; with the next cell it is started again."
TEXT = "text/plain"


def characters(code, count):
    """How many characters the first bytes of a text are."""
    return len(code.encode("utf-8", "replace")[:count].decode("utf-8", "ignore"))


class LatentKernel(Kernel):
    implementation = "latent"
    implementation_version = "0.1.0"
    banner = "Lua with latent. help() tells more."
    language_info = {
        "name": "lua",
        "version": "5.4",
        "mimetype": "text/x-lua",
        "file_extension": ".lua",
        "pygments_lexer": "lua",
        "codemirror_mode": "lua",
    }

    command = ["latent"]  # set by the program
    _supports_kernel_subshells = False  # there is one session

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._latent = None
        self._lost = None  # how the last one ended, where that was not asked for
        self._cell = None  # the message that what is printed belongs to
        self._unseen = ""  # what was printed before the first
        self._printed_size = 0
        self._asking = self._reading = self._ending = False
        self._start()

    # ---- the program ----

    def _start(self):
        try:
            self._latent = Latent(self.command, self._printed)
            hello = self._latent.receive(STARTING)
        except OSError as problem:
            self._lost = "cannot be started: %s" % problem
            return
        except Ended:
            self._lost = self._died()
            return
        if hello.get("protocol") != PROTOCOL:
            self._latent.end()
            self._latent = None
            self._lost = "is %s, for which this latent_kernel is too old or too new" % hello["version"]

    def _printed(self, name, text):
        if self._cell is None:
            self._unseen = (self._unseen + text)[-MOST_UNSEEN:]
            return
        room = MOST_PRINTED - self._printed_size
        self._printed_size += len(text)
        if room <= 0:
            return
        if len(text) > room:
            text = text[:room] + "\n... more than %d characters; the rest is left out\n" % MOST_PRINTED
        self.session.send(
            self.iopub_socket,
            "stream",
            {"name": name, "text": text},
            parent=self._cell,
            ident=self._topic("stream"),
        )

    def _died(self):
        """What became of the program, where it is not there any more."""
        how = self._latent.close()
        self._latent = None
        return how

    def pre_handler_hook(self):
        # Instead of raising KeyboardInterrupt, which could come anywhere, also between two messages.
        self.saved_sigint_handler = signal.signal(signal.SIGINT, self._interrupted)

    def _interrupted(self, number, frame):
        if self._asking:
            self._latent.interrupt()
        if self._reading:
            raise KeyboardInterrupt

    def _ask(self, request, serve=None):
        """Sends a request and returns its answer; questions between are answered by `serve`."""
        self._asking = True
        try:
            self._latent.send(request)
            while True:
                message = self._latent.receive()
                if message["type"] == "done":
                    return message
                self._latent.send(serve(message))
        finally:
            self._asking = False

    # ---- cells ----

    def _display(self, message):
        content = {"data": message["bundle"], "metadata": {}, "transient": {}}
        if "id" in message:
            content["transient"]["display_id"] = message["id"]
        kind = "update_display_data" if message.get("update") else "display_data"
        self.send_response(self.iopub_socket, kind, content)

    def _read_line(self, allowed):
        if not allowed:
            return {"message": "nobody is there to answer: this front end takes no input"}
        self._reading = self._allow_stdin = True
        try:
            return {"text": self.raw_input("")}
        except KeyboardInterrupt:
            return {}
        except Exception as problem:  # whatever a front end does: the program waits for an answer
            return {"message": str(problem)}
        finally:
            self._reading = False

    async def do_execute(
        self,
        code,
        silent,
        store_history=True,
        user_expressions=None,
        allow_stdin=False,
        *,
        cell_meta=None,
        cell_id=None,
    ):
        self._cell, self._printed_size = self.get_parent("shell"), 0
        if self._unseen:
            text, self._unseen = self._unseen, ""
            self._printed("stderr", text)
        if self._latent is None and self._lost is None:
            self._start()
            if self._latent is not None:
                self._printed("stderr", "latent was started again: what earlier cells defined is gone\n")
        if self._latent is None:
            how, self._lost = self._lost, None
            return self._failed(silent, "latent %s" % how, [NEXT])

        def serve(message):
            if message["type"] == "input":
                return self._read_line(allow_stdin)
            if not silent:
                self._display(message)
            return {}

        request = {"type": "execute", "code": code, "count": self.execution_count}
        try:
            answer = self._ask(request, serve)
        except Ended:
            how = self._died()
            if self._ending:
                return self._failed(silent, "the kernel was shut down", [])
            return self._failed(silent, "latent %s" % how, [NEXT])
        return self._answered(answer, silent)

    def _answered(self, answer, silent):
        if answer["status"] != "ok":
            return self._failed(silent, answer["message"], answer["traceback"][1:], answer)
        if not silent and "result" in answer:
            content = {
                "execution_count": self.execution_count,
                "data": answer["result"],
                "metadata": {},
            }
            self.send_response(self.iopub_socket, "execute_result", content)
        payload = []
        if answer.get("leaving"):
            self._died()
            payload = [{"source": "ask_exit", "keepkernel": False}]
        return {
            "status": "ok",
            "execution_count": self.execution_count,
            "payload": payload,
            "user_expressions": {},
        }

    def _failed(self, silent, message, more, answer=None):
        name = answer["name"] if answer else "latent"
        content = {
            "ename": name,
            "evalue": message,
            "traceback": ["\x1b[31m%s\x1b[0m" % (message or name), *more],
        }
        if not silent:
            self.send_response(self.iopub_socket, "error", content)
        return {"status": "error", "execution_count": self.execution_count, **content}

    # ---- what an editor asks ----

    def _query(self, request, default):
        if self._latent is None:
            return default
        try:
            answer = self._ask(request)
        except Ended:
            self._lost = self._died()
            return default
        return default if answer.get("status") == "error" else answer

    def do_complete(self, code, cursor_pos):
        before = code[:cursor_pos]
        answer = self._query({"type": "complete", "code": before}, {"words": [], "first": None})
        start = cursor_pos if answer["first"] is None else characters(before, answer["first"] - 1)
        return {
            "status": "ok",
            "matches": answer["words"],
            "cursor_start": start,
            "cursor_end": cursor_pos,
            "metadata": {},
        }

    def do_inspect(self, code, cursor_pos, detail_level=0, omit_sections=()):
        cursor = len(code[:cursor_pos].encode("utf-8", "replace"))
        answer = self._query({"type": "inspect", "code": code, "cursor": cursor}, {})
        if "text" not in answer:
            return {"status": "ok", "found": False, "data": {}, "metadata": {}}
        data = {TEXT: answer["text"], "text/markdown": answer["markdown"]}
        return {"status": "ok", "found": True, "data": data, "metadata": {}}

    def do_is_complete(self, code):
        answer = self._query({"type": "is_complete", "code": code}, {"status": "unknown"})
        reply = {"status": answer["status"]}
        if answer["status"] == "incomplete":
            last = code.rstrip("\n").rsplit("\n", 1)[-1]
            reply["indent"] = last[: len(last) - len(last.lstrip())]
        return reply

    def do_shutdown(self, restart):
        self._ending = True
        if self._latent is not None:
            self._latent.end()
        return {"status": "ok", "restart": restart}
