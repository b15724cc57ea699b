"""The way from one instance to Postgres, which can be frozen and cut."""

import contextlib
import pathlib
import socket
import threading


class Link:
    """Listens on a Unix socket in `folder`, as libpq expects it there, and passes everything on to
    the one in `upstream`."""

    def __init__(self, folder, upstream, port):
        self.upstream = str(pathlib.Path(upstream) / f".s.PGSQL.{port}")
        self.flowing = threading.Event()
        self.flowing.set()
        self.is_cut = False
        self.lock = threading.Lock()
        self.sockets = set()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(pathlib.Path(folder) / f".s.PGSQL.{port}"))
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                self.connect(self.listener.accept()[0])

    def connect(self, client):
        server = socket.socket(socket.AF_UNIX)
        try:
            if self.is_cut:
                raise ConnectionRefusedError
            server.connect(self.upstream)
        except OSError:
            client.close()
            server.close()
            return
        with self.lock:
            self.sockets |= {client, server}
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.flowing.wait()  # what was read before the freeze arrives after it
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self.lock:
            self.sockets.discard(source)
        source.close()

    def freeze(self):
        self.flowing.clear()

    def cut(self):
        self.is_cut = True
        with self.lock:
            for end in self.sockets:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def flow(self):
        self.is_cut = False
        self.flowing.set()

    def close(self):
        self.listener.close()
        self.cut()
        self.flowing.set()
