"""A program `latent kernel serve`: its pipes, what it prints, and its end.

Requests and answers are JSON behind four bytes of length. One thread reads everything that the
program says, whether a cell runs or not: it hands on what is printed at once, and puts the
messages into a queue, each behind all that was printed before it.
"""

import codecs
import contextlib
import json
import os
import queue
import selectors
import signal
import subprocess
import threading

PROTOCOL = 1  # as in lua/latent/repl/kernel.lua
GATHER = 0.02  # seconds in which what is printed is gathered, so that many lines are one message
CHUNK = 1 << 16  # bytes, what a pipe holds
PATIENCE = 2  # seconds that a program has to end by itself
AT_ONCE = 32  # chunks: more than is there, unless the program goes on printing


class Ended(Exception):
    """The program is not there any more."""


class Latent:
    """A running program.

    `command` starts it, without the words `kernel serve`; `printed(name, text)` is called, in
    another thread, with what it writes to "stdout" and "stderr".
    """

    def __init__(self, command, printed):
        self._printed = printed
        self._messages = queue.Queue()
        theirs, self._to = os.pipe()
        self._from, answers = os.pipe()
        try:
            self.process = subprocess.Popen(
                [*command, "kernel", "serve", str(theirs), str(answers)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs, answers),
                start_new_session=True,
            )
        except OSError:
            os.close(self._to)
            os.close(self._from)
            raise
        finally:
            os.close(theirs)
            os.close(answers)
        self._decoders = {}
        self._closing = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="latent", daemon=True)
        self._reader.start()

    # ---- the thread ----

    def _read(self):
        streams = {self.process.stdout.fileno(): "stdout", self.process.stderr.fileno(): "stderr"}
        for fd in (*streams, self._from):
            os.set_blocking(fd, False)
        buffer, ended = bytearray(), False
        with selectors.DefaultSelector() as selector, selectors.DefaultSelector() as answers:
            answers.register(self._from, selectors.EVENT_READ)
            for fd in (*streams, self._from):
                selector.register(fd, selectors.EVENT_READ)
            while not ended:
                selector.select()
                ended = bool(answers.select(GATHER)) and not self._take(self._from, buffer.extend)
                # What was printed before a message is here by now.
                self._drain(selector, streams)
                self._hand_on(buffer)
        self._drain(None, streams, final=True)
        self._messages.put(None)

    @staticmethod
    def _take(fd, take):
        """Reads what is there; false at the end."""
        for _ in range(AT_ONCE):
            try:
                data = os.read(fd, CHUNK)
            except BlockingIOError:
                break
            if not data:
                return False
            take(data)
        return True

    def _drain(self, selector, streams, final=False):
        for fd, name in list(streams.items()):
            data = bytearray()
            open_still = self._take(fd, data.extend)
            decoder = self._decoders.setdefault(
                name, codecs.getincrementaldecoder("utf-8")("replace")
            )
            text = decoder.decode(bytes(data), final or not open_still)
            if text:
                self._printed(name, text)
            if not open_still:
                if selector is not None:
                    selector.unregister(fd)
                del streams[fd]

    def _hand_on(self, buffer):
        while len(buffer) >= 4:
            size = int.from_bytes(buffer[:4], "big")
            if len(buffer) < 4 + size:
                return
            self._messages.put(json.loads(buffer[4 : 4 + size].decode("utf-8")))
            del buffer[: 4 + size]

    # ---- messages ----

    def send(self, message):
        """Sends a request or an answer."""
        # Half of a surrogate pair is no text; a page may hold one.
        data = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        data = len(data).to_bytes(4, "big") + data
        try:
            while data:
                data = data[os.write(self._to, data) :]
        except OSError:
            raise Ended from None

    def receive(self, timeout=None):
        """The next message; one that does not come within so many seconds does not come."""
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            raise Ended from None
        if message is None:
            self._messages.put(None)
            raise Ended
        return message

    # ---- the end ----

    def interrupt(self):
        """Ctrl-C, as a terminal sends it: to the program and to all that it has started."""
        self._signal(signal.SIGINT)

    def _signal(self, number):
        # Its number is nobody else's before `close` has waited for it.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def end(self):
        """Ends it: by SIGTERM, so that it closes what is open, then by force."""
        with self._closing:
            if self.process.returncode is None:
                os.kill(self.process.pid, signal.SIGTERM)
        return self.close()

    def close(self, patience=PATIENCE):
        """Waits for its end, then brings it about by force, also that of all it has started.
        Returns in words how it ended."""
        self._reader.join(patience)
        with self._closing:
            self._signal(signal.SIGKILL)
            code = self.process.wait()
            self._reader.join()
            if self._to is not None:
                for fd in (self._to, self._from):
                    os.close(fd)
                self._to = None
                self.process.stdout.close()
                self.process.stderr.close()
        if code >= 0:
            return "ended with status %d" % code
        try:
            return "was ended by signal %s" % signal.Signals(-code).name
        except ValueError:
            return "was ended by signal %d" % -code
