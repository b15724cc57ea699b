"""What the figures are measured with: servers, a durable database, the daemon, and their cost."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

TOP = harness.TOP
HERE = pathlib.Path(__file__).resolve().parent
IN_FLIGHT = 64
TICKS = os.sysconf("SC_CLK_TCK")

# What an operator would set on a server of this size; nothing that gives up durability.
DURABLE = (
    "fsync=on", "full_page_writes=on", "synchronous_commit=on", "shared_buffers=1GB",
    "max_wal_size=16GB", "checkpoint_timeout=60min", "max_connections=200",
)

NGINX = """
load_module {module};
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    tcp_nodelay on;
    client_body_buffer_size 16k;
    http2_max_concurrent_streams 1024;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server-key.pem;
    ssl_session_cache shared:s:1m;
    upstream far {{
        server 127.0.0.1:{far};
        keepalive 1100;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        listen 127.0.0.1:{tls} ssl backlog=4096;
        listen 127.0.0.1:{http2} ssl http2 backlog=4096;
        default_type application/json;
        # The body is read before the answer: else HTTP/2 resets the stream now and then.
        location ~ ^/v2/customers/([A-Za-z0-9_-]+)$ {{
            echo_read_request_body;
            echo '{answer}';
        }}
        location ~ ^/far/v2/customers/([A-Za-z0-9_-]+)$ {{
            proxy_pass http://far;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering on;
        }}
        location = /count {{ stub_status; }}
    }}
}}
"""

# About as long as Imprint's, with the customer asked for.
ANSWER = json.dumps({
    "id": "$1", "object": "customer", "email": "jane.doe@example.com", "phone": "+14155552671",
    "first_name": "Jane", "last_name": "Doe", "preferred_language": "en",
    "street_line1": "1 Market Street", "city": "San Francisco", "state": "CA",
    "postal_code": "94105", "status": "ACTIVE", "created_at": "2024-01-01T00:00:00.000Z",
    "updated_at": "2025-06-01T00:00:00.000Z",
    "customer_history": {"loyalty_tier": "GOLD", "ltv_amount": 34000, "ltv_currency": "USD"},
    "metadata": {"loyalty_id": "1234567"}}, separators=(",", ":"))

MAPPING = {
    "email": "email", "phone": {"from": "mobile"}, "first_name": "first_name",
    "last_name": "last_name", "preferred_language": {"from": "locale"},
    "street_line1": "address.line1", "street_line2": "address.line2", "city": "address.city",
    "state": {"from": "address.state", "as": "us_state"},
    "postal_code": {"from": "address.postal_code", "as": "text"},
    "customer_history": {
        "email": "email", "phone": {"from": "mobile"}, "first_name": "first_name",
        "last_name": "last_name",
        "address": {
            "street_line1": "address.line1", "street_line2": "address.line2",
            "city": "address.city", "state": {"from": "address.state", "as": "us_state"},
            "postal_code": {"from": "address.postal_code", "as": "text"},
            "country": {"from": "address.country"}},
        "account_tenure": {"from": "joined_at", "as": "months_since"},
        "ltv_amount": {"from": "lifetime_value", "as": "minor_units", "currency": "ltv_currency"},
        "ltv_currency": "ltv_currency",
        "loyalty_tier": {"from": "tier", "map": {1: "SILVER", 2: "GOLD", 3: "PLATINUM"},
                         "default": "MEMBER"},
        "account_created_at": "joined_at", "transaction_count": "order_count"},
    "metadata": {"loyalty_id": {"from": "loyalty_id", "as": "text"}},
}


# --- What a process costs -------------------------------------------------------------------


def cpu_of(pid):
    """CPU seconds of a process and of its children that ended; 0 when it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / TICKS


def children_of(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def cpu_of_family(pid):
    return cpu_of(pid) + sum(cpu_of(child) for child in children_of(pid))


def peak_kb_of(pid):
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


class Run:
    """A started process; result() waits for its end and says what it cost."""

    def __init__(self, arguments, log_file):
        self.peak_kb = 0
        self.started = time.monotonic()
        with open(log_file, "ab") as log:
            self.process = harness.spawn(arguments, stdout=log, stderr=log)
        self.log_file = log_file
        self.ended = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        while not self.ended.wait(0.05):
            self.peak_kb = max(self.peak_kb, peak_kb_of(self.process.pid))

    def cpu(self):
        return cpu_of(self.process.pid)

    def result(self):
        """{seconds, cpu_s, peak_kb}; fails with the end of its log unless it ended with 0."""
        _, status, usage = os.wait4(self.process.pid, 0)
        seconds = time.monotonic() - self.started
        self.ended.set()
        self.watcher.join()
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            raise RuntimeError(f"exit code {self.process.returncode}:\n"
                               + self.log_file.read_text(errors="replace")[-2000:])
        return {"seconds": seconds, "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_kb": self.peak_kb}

    def stop(self):
        self.process.terminate()
        return self.result()


def measured(arguments):
    """The line of JSON that a program of the benchmark prints."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments[0]}: {done.stderr}")
    return json.loads(done.stdout)


# --- Servers --------------------------------------------------------------------------------


class Answerer:
    """Answers after `delay_ms` and notes when each request arrived (answerer.c)."""

    def __init__(self, folder, delay_ms=0, log=True):
        self.port_file = folder / "answerer.port"
        self.log_file = folder / "arrivals"
        self.port_file.unlink(missing_ok=True)
        self.log_file.unlink(missing_ok=True)
        arguments = [harness.program("bench-answerer"), str(self.port_file), str(delay_ms)]
        self.process = harness.spawn(arguments + ([str(self.log_file)] if log else []))
        self.port = int(harness.wait_until(
            lambda: self.port_file.exists() and self.port_file.read_text().strip(), "it listens"))
        self.url = f"http://127.0.0.1:{self.port}"

    def arrivals(self):
        """(wall_ns, customer) of each request so far, in order."""
        lines = self.log_file.read_text().split("\n")[:-1]
        return [(int(at), customer) for at, customer in (line.split(" ") for line in lines)]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Nginx:
    """Answers with the customer asked for, in three ways; below /far through an Answerer."""

    def __init__(self, folder, far_port=9):
        self.folder = folder
        self.ports = {way: harness.free_port() for way in ("plain", "tls", "http2")}
        subprocess.run([harness.program("imprint-sandbox"), "--make-cert", str(folder)], check=True)
        os.chmod(folder, 0o711)
        (folder / "nginx.conf").write_text(NGINX.format(
            folder=folder, answer=ANSWER, far=far_port,
            module="/usr/lib/nginx/modules/ngx_http_echo_module.so", **self.ports))
        self.process = harness.spawn(
            ["/usr/sbin/nginx", "-e", str(folder / "error.log"), "-p", str(folder),
             "-c", str(folder / "nginx.conf")], "QUIT")
        harness.wait_until(self.answers, "nginx starts")

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "error.log").read_text())
        try:
            return self.count() > 0
        except OSError:
            return False

    def count(self):
        """Requests so far, this one included."""
        import urllib.request
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['plain']}/count") as answer:
            return int(answer.read().split()[9])

    def url(self, way):
        return f"{'http' if way == 'plain' else 'https'}://127.0.0.1:{self.ports[way]}"

    def ca_file(self, way):
        return None if way == "plain" else str(self.folder / "ca.pem")

    def cpu(self):
        return cpu_of_family(self.process.pid)

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


# --- The lab --------------------------------------------------------------------------------


class Lab:
    """A database with the CRM and one nginx; each figure begins with an empty outbox."""

    def __init__(self, folder, customers):
        self.folder, self.customers = folder, customers
        self.cluster = harness.Cluster(*DURABLE)
        self.count = 0

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self.cluster.remove)
            self.cluster.start()
            self.cluster.make_template()
            self.db = self.cluster.new_database()
            fill_crm(self.db, self.customers)
            self.nginx = Nginx(self.new_folder())
            stack.callback(self.nginx.stop)
            self.bodies = self.folder / "bodies"
            self.write_bodies()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *reason):
        self.stack.close()

    def new_folder(self):
        self.count += 1
        folder = self.folder / f"part{self.count}"
        folder.mkdir()
        return folder

    def write_bodies(self):
        """What the daemon would send for some customers: the bodies of the bare limit."""
        config = self.config(self.nginx.url("plain"))
        lines = []
        for row in self.db.query("SELECT imprint_customer_id::text AS id, to_jsonb(v) AS row"
                                 " FROM crm.imprint_customers v WHERE crm_id <= 100"):
            run = config.command("render", stdin=json.dumps(row["row"]))
            if run.returncode != 0:
                raise RuntimeError(run.stderr)
            _, _, text = run.stdout.partition("\n\n")  # below the head of the request
            body = json.dumps(json.loads(text), separators=(",", ":"))
            lines.append(f"{row['id']}\t{body}\n")
        self.bodies.write_text("".join(lines))
        self.body_bytes = sum(len(line) - 38 for line in lines) / len(lines)

    def config(self, url, changes=None, ca_file=None):
        imprint = {"base_url": url, "timeout": "10s", "connect_timeout": "5s"}
        if ca_file is not None:
            imprint["ca_file"] = ca_file
        base = {
            "database": {"dsn": self.db.dsn()}, "imprint": imprint, "mapping": MAPPING,
            "delivery": {"rate": "1000000/s", "burst": 100000, "workers": IN_FLIGHT,
                         "skip_unchanged": True},
            "outbox": {"poll_interval": "1s", "lease": "45s"},
            "retry": {"base": "1s", "cap": "15m"},
            "log": {"level": "info", "stats_interval": "60s"}}
        return harness.Config(self.new_folder(), harness.merged(base, changes or {}))

    def empty_outbox(self):
        self.db.execute("TRUNCATE imprint_sync.outbox, imprint_sync.customer_state")
        self.db.execute("CHECKPOINT")

    def add_rows(self, kind, count, first=1):
        """Pending rows of customers first .. first + count - 1, in one transaction."""
        payload = "to_jsonb(v) - 'updated_at'" if kind == "application" else "NULL::jsonb"
        table = "crm.imprint_customers" if kind == "application" else "(SELECT id AS crm_id, imprint_customer_id FROM crm.customers)"
        self.db.execute(
            f"INSERT INTO imprint_sync.outbox (customer_id, payload)"
            f" SELECT imprint_customer_id, {payload} FROM {table} v"
            f" WHERE crm_id BETWEEN {first} AND {first + count - 1}")

    def wal_bytes(self):
        return int(self.db.value("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    def database_cpu(self):
        return cpu_of_family(self.cluster.process.pid)

    def once(self, config):
        """`run --once` until the outbox is empty: {seconds, cpu_s, peak_kb, wal, database_cpu_s}."""
        wal, cpu = self.wal_bytes(), self.database_cpu()
        run = Run([harness.imprint_sync(), "-c", str(config.file), "run", "--once"],
                  config.folder / "daemon.log")
        cost = run.result()
        cost["wal_bytes"] = self.wal_bytes() - wal
        cost["database_cpu_s"] = self.database_cpu() - cpu
        assert self.db.pending() == 0
        return cost

    def limit(self, way, count, in_flight=IN_FLIGHT, url=None):
        """The bare limit of libcurl."""
        ca_file = self.nginx.ca_file(way)
        return measured([harness.program("bench-limit"), f"{url or self.nginx.url(way)}/v2/customers/",
                         str(self.bodies), str(count), str(in_flight)]
                        + ([ca_file] if ca_file else []))

    def naive(self, way, count):
        """The worker of an afternoon, over a table of its own."""
        self.db.execute("""
            DROP TABLE IF EXISTS naive_queue;
            CREATE TABLE naive_queue (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                customer_id text NOT NULL, body text NOT NULL,
                status text NOT NULL DEFAULT 'pending', settled_at timestamptz);
            CREATE INDEX ON naive_queue (id) WHERE status = 'pending'""")
        bodies = [line.split("\t") for line in self.bodies.read_text().splitlines()]
        self.db.execute(
            "INSERT INTO naive_queue (customer_id, body) SELECT b.id, b.body"
            " FROM generate_series(1, %s) AS n JOIN unnest(%s, %s) WITH ORDINALITY"
            " AS b (id, body, nth) ON nth = 1 + n %% %s",
            count, [b[0] for b in bodies], [b[1] for b in bodies], len(bodies))
        self.db.execute("VACUUM ANALYZE naive_queue")
        self.db.execute("CHECKPOINT")
        wal, cpu = self.wal_bytes(), self.database_cpu()
        ca_file = self.nginx.ca_file(way)
        cost = measured([harness.program("bench-naive"), self.db.dsn("postgres"),
                         f"{self.nginx.url(way)}/v2/customers/", str(IN_FLIGHT)]
                        + ([ca_file] if ca_file else []))
        assert cost["count"] == count
        cost["wal_bytes"] = self.wal_bytes() - wal
        cost["database_cpu_s"] = self.database_cpu() - cpu
        return cost


def fill_crm(db, customers):
    """So many customers with an address and two orders each; the watches are taken off, so that
    only what a figure asks for is in the outbox."""
    for table in ("customers", "orders", "addresses"):
        db.execute(f"SELECT imprint_sync.unwatch('crm.{table}')")
    db.execute(f"""
        INSERT INTO crm.customers
        SELECT n, md5(n::text)::uuid, 'customer.' || n || '@mail.example.com',
               '(415) 555-' || lpad((n % 10000)::text, 4, '0'),
               (ARRAY['Jane', 'Maximilian', 'Li', 'Alexandra'])[1 + n % 4],
               'Van der Berg-' || n, 'en_US', n % 4, 7000000 + n,
               timestamptz '2019-03-01 12:34:56.789+00' + (n % 1500) * interval '1 day', 'USD',
               timestamptz '2025-01-01' + n * interval '1 second'
          FROM generate_series(1, {customers}) AS n;
        INSERT INTO crm.addresses (customer_id, line1, line2, city, state, postal_code, country)
        SELECT n, n || ' South Washington Boulevard', 'Apartment ' || n % 100, 'San Francisco',
               'California', lpad((n % 99999)::text, 5, '0'), 'USA'
          FROM generate_series(1, {customers}) AS n;
        INSERT INTO crm.orders (customer_id, amount, placed_at)
        SELECT 1 + n % {customers}, 10 + (n % 9999) / 100.0, timestamptz '2024-06-01'
          FROM generate_series(1, 2 * {customers}) AS n""")
    for table in ("customers", "addresses", "orders"):
        db.execute(f"VACUUM ANALYZE crm.{table}")


def work_folder():
    return tempfile.TemporaryDirectory(prefix="imprint-sync-bench.")
