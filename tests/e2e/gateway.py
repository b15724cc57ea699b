"""What stands between the daemon and Imprint: certificates, a server that shows or demands them,
and a proxy."""

import contextlib
import select
import socket
import ssl
import subprocess
import threading


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Authority:
    """Certificates in files of `folder`; by another one unless this is the root."""

    def __init__(self, folder, name="root", issuer=None):
        self.folder, self.name = folder, name
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}-key.pem"
        make = issuer.sign if issuer is not None else self.sign_itself
        make(name, "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign")

    def request(self, name):
        """A new key and what is to be signed."""
        request = self.folder / f"{name}.csr"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-keyout", str(self.folder / f"{name}-key.pem"),
                "-out", str(request))
        return request

    def make(self, name, extensions, days, *signer):
        request = self.request(name)
        extensions_file = self.folder / f"{name}.ext"
        extensions_file.write_text(extensions + "\n")
        certificate = self.folder / f"{name}.pem"
        openssl("x509", "-req", "-in", str(request), "-days", str(days), "-out", str(certificate),
                "-extfile", str(extensions_file), *signer)
        return certificate

    def sign_itself(self, name, extensions, days=2):
        return self.make(name, extensions, days, "-key", str(self.folder / f"{name}-key.pem"))

    def sign(self, name, extensions, days=2):
        return self.make(name, extensions, days, "-CA", str(self.certificate),
                         "-CAkey", str(self.key), "-CAcreateserial")

    def server(self, name="server", alt="IP:127.0.0.1", days=2):
        return self.sign(name, f"subjectAltName={alt}\nextendedKeyUsage=serverAuth", days)

    def client(self, name="client"):
        return self.sign(name, "extendedKeyUsage=clientAuth")


def key_of(certificate):
    return certificate.with_name(certificate.stem + "-key.pem")


class Listener:
    """A thread that takes connections, and one for each of them."""

    def __init__(self, handle):
        self.handle = handle
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        # A client that refuses what it is shown, or goes away, is no failure of this side.
        with contextlib.suppress(OSError), connection:
            self.handle(connection)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        # Wakes accept(), which closing alone does not.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError("the client left")
        head += piece
    return head


def pump(one, other):
    """Between two sockets until one of them ends."""
    while True:
        # What TLS has decrypted already no select shows.
        full = [side for side in (one, other) if isinstance(side, ssl.SSLSocket) and side.pending()]
        for side in full or select.select([one, other], [], [])[0]:
            piece = side.recv(65536)
            if not piece:
                return
            (other if side is one else one).sendall(piece)


class Gateway(Listener):
    """TLS in front of a plain server at `port`."""

    def __init__(self, port, certificate, client_ca=None, newest=None):
        super().__init__(self.forward)
        self.target = port
        self.clients = []  # subjects of the certificates that were shown
        self.versions = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key_of(certificate))
        if client_ca is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)
        if newest is not None:
            # Debian's own limits would forbid the old ones before the client does.
            self.context.set_ciphers("ALL:@SECLEVEL=0")
            self.context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            self.context.maximum_version = newest

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def forward(self, connection):
        with self.context.wrap_socket(connection, server_side=True) as client, \
                socket.create_connection(("127.0.0.1", self.target)) as server:
            self.versions.append(client.version())
            self.clients.append(client.getpeercert())
            pump(client, server)


class Proxy(Listener):
    """CONNECT to anywhere, for those who know the password if there is one."""

    def __init__(self, authorization=None, certificate=None):
        super().__init__(self.tunnel)
        self.authorization = authorization
        self.heads = []
        self.context = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate, key_of(certificate))

    def tunnel(self, connection):
        if self.context is not None:
            connection = self.context.wrap_socket(connection, server_side=True)
        head = read_head(connection).decode("ascii")
        self.heads.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ")
        assert method == "CONNECT"
        if self.authorization is not None and \
                f"proxy-authorization: {self.authorization}".lower() not in head.lower():
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                               b"Proxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n")
            return
        host, port = target.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as server:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            pump(connection, server)


class Scripted(Listener):
    """Plain HTTP: `answer` writes what it likes to the connection, for one request each."""

    def __init__(self, answer):
        super().__init__(self.respond)
        self.answer = answer
        self.requests = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def respond(self, connection):
        read_head(connection)
        self.requests += 1
        self.answer(connection)
