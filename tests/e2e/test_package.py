"""The Debian package: made, looked at, and installed, upgraded, removed and purged in a throw-away
copy of this machine's / (a copy-on-write view in a mount namespace, which goes with the process)."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import TOP, imprint_sync

CONFIGURATION = "/etc/imprint-sync/imprint-sync.yaml"
MAPPING = "/etc/imprint-sync/mapping.yaml"


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


# ---- making it -----------------------------------------------------------------------------------

@pytest.fixture(name="package", scope="module")
def _package(tmp_path_factory):
    build = pathlib.Path(imprint_sync()).parent
    cache = (build / "CMakeCache.txt").read_text()
    if "IMPRINT_SANITIZE:BOOL=ON" in cache:
        pytest.skip("a sanitizer build makes no package")
    for tool in ("cpack", "dpkg-deb", "dpkg-shlibdeps"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on this machine")
    folder = tmp_path_factory.mktemp("package")
    # The umask must not show in the package.
    run("cpack", "--config", str(build / "CPackConfig.cmake"), "-B", str(folder), umask=0o077)
    [package] = folder.glob("*.deb")
    return package


def field(package, name):
    return run("dpkg-deb", "-f", str(package), name).strip()


def version():
    return re.search(r"VERSION (\S+) LANGUAGES", (TOP / "CMakeLists.txt").read_text())[1]


@pytest.fixture(name="tree", scope="module")
def _tree(package, tmp_path_factory):
    tree = tmp_path_factory.mktemp("tree")
    run("dpkg-deb", "-x", str(package), str(tree))
    return tree


# ---- what is in it -------------------------------------------------------------------------------

def test_lintian_finds_no_error_and_no_warning(package):
    if shutil.which("lintian") is None:
        pytest.skip("no lintian on this machine")
    run("lintian", "--allow-root", "--fail-on", "error,warning", str(package))


def test_it_depends_on_the_libraries_that_the_program_links(package):
    needed = run("objdump", "-p", imprint_sync())
    depends = field(package, "Depends")
    for library in ("libcurl", "libjson-c", "libpq", "libssl|libcrypto", "libsystemd", "libyaml"):
        assert re.search(rf"NEEDED +({library})", needed), library
    for name in ("libc6", "libcurl", "libjson-c", "libpq", "libssl", "libsystemd", "libyaml", "tzdata"):
        assert re.search(rf"\b{name}", depends), depends


def test_its_version_is_the_programs(package):
    assert field(package, "Version") == version()
    changelog = (TOP / "packaging/changelog").read_text()
    assert changelog.startswith(f"imprint-sync ({version()}) ")
    assert run(imprint_sync(), "version").split()[-1] == version()


def test_everything_that_an_operator_needs_is_in_it(tree):
    files = {"/" + str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}
    wanted = {"/usr/bin/imprint-sync", CONFIGURATION, MAPPING,
              "/usr/share/bash-completion/completions/imprint-sync",
              "/usr/share/imprint-sync/imprint-sync.schema.json",
              "/usr/share/imprint-sync/mapping.schema.json",
              "/usr/share/doc/imprint-sync/copyright", "/usr/share/doc/imprint-sync/changelog.gz"}
    wanted |= {f"/usr/share/man/man{page.suffix[1:]}/{page.name}.gz"
               for page in (TOP / "docs/man").glob("*.[0-9]")}
    wanted |= {f"/usr/share/imprint-sync/sql/{path.name}" for path in (TOP / "sql").glob("*.sql")}
    wanted |= {f"/usr/share/imprint-sync/monitoring/{path.name}"
               for path in (TOP / "config/monitoring").iterdir()}
    wanted |= {f"/usr/lib/systemd/system/imprint-sync{rest}.service" for rest in ("", "@", "-backfill@")}
    wanted |= {"/usr/share/doc/imprint-sync/examples/backfill.env"}
    assert wanted <= files, wanted - files


def test_units_and_samples_are_those_of_the_source(tree):
    units = tree / "usr/lib/systemd/system"
    assert (units / "imprint-sync.service").read_text() == (TOP / "systemd/imprint-sync.service").read_text()
    for unit in units.iterdir():
        assert re.search(r"^ExecStart=/usr/bin/imprint-sync ", unit.read_text(), re.M)
    for sample in ("imprint-sync.yaml", "mapping.yaml"):
        assert (tree / "etc/imprint-sync" / sample).read_text() == (TOP / "config" / sample).read_text()
        schema = sample.replace(".yaml", ".schema.json")
        link = os.readlink(tree / "etc/imprint-sync" / schema)
        assert (tree / link[1:]).read_text() == (TOP / "config" / schema).read_text()


def test_every_user_can_read_it_and_only_the_program_runs(package):
    for line in run("dpkg-deb", "-c", str(package)).splitlines():
        mode, owner, path = line.split()[0], line.split()[1], line.split()[5]
        wanted = "drwxr-xr-x" if path.endswith("/") else "-rw-r--r--"
        wanted = "-rwxr-xr-x" if path == "./usr/bin/imprint-sync" else wanted
        assert owner == "root/root" and mode in (wanted, "lrwxrwxrwx"), line


def test_the_program_in_it_has_no_debugging_symbols(tree):
    assert ".debug_info" not in run("objdump", "-h", str(tree / "usr/bin/imprint-sync"))


# ---- installing it -------------------------------------------------------------------------------

# Arguments: a folder, packages. Standard input: what to run in the copy, where they are in /packages.
COPY = r"""
set -eu
work=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
cd "$work/root"
mount --bind /dev dev
mkdir packages
for package; do cp "$package" packages; done
# A systemd that only writes down what it is asked for. A restart never ends, as it does while the
# database is away; who waits with a limit waits for a second.
rm -f usr/sbin/policy-rc.d usr/bin/systemctl
printf '#!/bin/sh\necho "$@" >>/calls\n[ "$1" != try-restart ] || exec tail -f /dev/null\n' >usr/bin/systemctl
mv usr/bin/timeout usr/bin/timeout.real
printf '#!/bin/sh\nshift\nexec timeout.real 1 "$@"\n' >usr/bin/timeout
chmod 755 usr/bin/systemctl usr/bin/timeout
mkdir -p run/systemd/system
touch calls
exec chroot . /bin/sh -eu -c "$SCRIPT"
"""


def in_a_copy(folder, script, *packages):
    """Runs a shell script in a copy of / that nobody else sees; its output."""
    folder.mkdir(exist_ok=True)
    return run("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
               "/bin/sh", "-c", COPY, "copy", str(folder), *map(str, packages),
               env={**os.environ, "SCRIPT": script, "LC_ALL": "C.UTF-8",
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"})


@pytest.fixture(name="copy", scope="module")
def _copy(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("only root can install a package")
    folder = tmp_path_factory.mktemp("copy")
    try:
        in_a_copy(folder, "dpkg-query -W dpkg")
    except AssertionError as error:
        pytest.skip(f"no copy of / on this machine: {error}")
    return folder


DPKG = "dpkg --no-triggers --force-unsafe-io"
UPGRADE = f"{DPKG} --force-confdef --force-confold -i"  # as unattended upgrades do


@pytest.fixture(name="older", scope="module")
def _older(package, tmp_path_factory):
    """The version before, whose samples were a little different."""
    tree = tmp_path_factory.mktemp("older")
    run("dpkg-deb", "-R", str(package), str(tree))
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {version()}", "Version: 0.0.9"))
    for sample in (CONFIGURATION, MAPPING):
        with open(tree / sample[1:], "a", encoding="utf-8") as file:
            file.write("# of the older version\n")
    run("dpkg-deb", "-b", "--root-owner-group", str(tree), str(tree.parent / "older.deb"))
    return tree.parent / "older.deb"


def test_it_is_installed_and_the_samples_pass_the_check(copy, package):
    said = in_a_copy(copy, f"""
        {DPKG} -i /packages/*.deb >&2
        imprint-sync version
        printf k3y >/etc/imprint-sync/api_key; chmod 600 /etc/imprint-sync/api_key
        CREDENTIALS_DIRECTORY=/etc/imprint-sync imprint-sync check --offline
        ls /etc/systemd/system/multi-user.target.wants | grep imprint || echo not enabled
        echo "calls:"; cat /calls
    """, package)
    assert version() in said and "not enabled" in said
    assert re.search(r"^ok +configuration", said, re.M), said
    # Nothing is started that has no configuration yet.
    assert said.split("calls:\n")[1] == "--system daemon-reload\n"


def test_an_upgrade_keeps_what_was_changed_and_restarts_what_runs(copy, package, older):
    said = in_a_copy(copy, f"""
        {DPKG} -i /packages/older.deb >&2
        grep -c 'of the older version' {CONFIGURATION} {MAPPING}
        echo '# by the operator' >>{CONFIGURATION}
        : >/calls
        {UPGRADE} /packages/imprint-sync_*.deb >&2
        echo "mapping: $(grep -c 'of the older version' {MAPPING})"
        echo "operator: $(tail -n 1 {CONFIGURATION})"
        echo "dist: $(grep -c 'of the older version' {CONFIGURATION}.dpkg-dist)"
        echo "calls:"; cat /calls
    """, package, older)
    assert f"{CONFIGURATION}:1\n{MAPPING}:1\n" in said
    assert "mapping: 0\n" in said, "a file that nobody changed is that of the new version"
    assert "operator: # by the operator\n" in said
    assert "dist: 0\n" in said, "the new sample lies beside the operator's file"
    assert said.split("calls:\n")[1].splitlines() == [
        "--system daemon-reload", "--system daemon-reload", "try-restart imprint-sync.service imprint-sync@*.service"]


def test_removed_it_leaves_the_configuration_purged_only_the_key(copy, package):
    said = in_a_copy(copy, f"""
        {DPKG} -i /packages/*.deb >&2
        mkdir -p /etc/systemd/system/multi-user.target.wants
        ln -s /lib/systemd/system/imprint-sync.service /etc/systemd/system/multi-user.target.wants/
        ln -s /lib/systemd/system/imprint-sync@.service /etc/systemd/system/multi-user.target.wants/imprint-sync@1.service
        printf k3y >/etc/imprint-sync/api_key
        : >/calls
        {DPKG} -r imprint-sync >&2
        echo "removed: $(ls -m /etc/imprint-sync)"
        test ! -e /usr/bin/imprint-sync
        echo "calls: $(tr '\\n' ',' </calls)"
        {DPKG} --purge imprint-sync >&2
        echo "purged: $(ls -m /etc/imprint-sync)"
        find /etc /usr/bin /usr/lib/systemd /usr/share /var/lib/dpkg /var/lib/systemd \\
            -name '*imprint-sync*' ! -path /etc/imprint-sync
        ls /etc/systemd/system/multi-user.target.wants | grep imprint || echo no link
    """, package)
    assert "removed: api_key, imprint-sync.yaml, mapping.yaml\n" in said
    assert "calls: stop imprint-sync.service imprint-sync@*.service imprint-sync-backfill@*.service,--system daemon-reload," in said
    assert said.endswith("purged: api_key\nno link\n"), said
