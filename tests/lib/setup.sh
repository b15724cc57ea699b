# shellcheck shell=bash
# What tests/demo, tests/run and .ci/run have in common. To be sourced, with `top` set to the top
# folder: installs what is missing, builds, starts helpers, and leaves nothing running behind.
#
#   setup_work                    -> $work, a private folder that goes away at the end; first
#   setup_packages GROUP...       groups below
#   setup_build PRESET...         -> build/PRESET
#   setup_postgres [SETTING=V]... -> $PGHOST $PGPORT $PGUSER, exported
#   setup_sandbox [OPTION...]     -> $sandbox_url
#   setup_spawn NAME COMMAND...   -> $spawned; log in $work/NAME.log; stopped at the end
#   patiently COMMAND...          in the foreground, but a signal ends it at once
#   step TEXT; step_done          a headline with the time it took
#   fail TEXT [LOG]               shows the end of the log and exits with 1

export LC_ALL=C.UTF-8 PAGER=cat PSQL_PAGER=cat
: "${top:?}"

# --- Packages -------------------------------------------------------------------------------

# One row a package: group, package, what it is for.
setup_package_table() {
    local pg=15
    # shellcheck source=/dev/null
    [[ $(. /etc/os-release && echo "${VERSION_ID:-}") != 13 ]] || pg=17
    cat <<TABLE
build  gcc                      the compiler
build  libc6-dev                headers of the C library
build  cmake                    describes the build
build  ninja-build              runs it
build  pkg-config               finds the libraries
build  libcurl4-openssl-dev     io: requests to the API
build  libjson-c-dev            app, sandbox: JSON
build  libpq-dev                io: PostgreSQL
build  libssl-dev               io: SHA-256 (libcrypto)
build  libsystemd-dev           io: event loop, service
build  libyaml-dev              config: YAML
build  check                    unit tests (they are part of the build)
build  libmicrohttpd-dev        the sandbox's HTTP server
run    postgresql-$pg            the private test database
run    tzdata                   time zones of timestamps
run    python3                  the demo's own check, test programs
run    python3-psycopg2         PostgreSQL from Python
run    openssl                  test certificates
test   postgresql-$pg-pgtap      SQL tests
test   pgbouncer                a pooler in front of the database
test   iproute2                 a network that can be cut
test   libtap-parser-sourcehandler-pgtap-perl  pg_prove, which runs them
test   python3-pytest           end-to-end tests
test   python3-jsonschema       requests against the OpenAPI contract
test   python3-yaml             reads that contract
test   valgrind                 counts instructions
test   mtail                    metrics from the log (config/monitoring)
test   systemd                  the units, under the real one
test   libnss-systemd           names of its dynamic users
test   sudo                     the commands of README.md
test   lnav                     its format of the log
test   dpkg-dev                 dependencies of the Debian package
test   file                     which files of the package are programs
test   jq                       reads the log as JSON, as the manual shows
test   chromium                 draws the pages that report makes
fuzz   clang                    libFuzzer
fuzz   libclang-rt-dev          its library
valgrind  valgrind              memory of the release build
cover  gcovr                    lines and branches that the tests reach
check  clang                    second compiler
check  clang-format             layout
check  clang-tidy               lint
check  cppcheck                 lint
check  shellcheck               lint of the scripts
check  spin                     the model of the leases
check  mandoc                   lint of the manual pages
bench  nginx                    the server that is measured against
bench  libnginx-mod-http-echo   its answer, after the body was read
check  lintian                  lint of the Debian package
TABLE
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# The packages of these groups that dpkg does not know as installed.
missing_packages() {
    local wanted group package
    wanted=$(setup_package_table | while read -r group package _; do
        [[ " $* " != *" $group "* ]] || echo "$package"
    done)
    # shellcheck disable=SC2086  # one word a package
    comm -23 <(sort <<<"$wanted") \
        <(dpkg-query -W -f '${Package} ${Status}\n' $wanted 2>/dev/null |
            sed -n 's/ install ok installed$//p' | sort)
}

# PostgreSQL's package makes a cluster "main" and starts it, unless this file says no while it is
# being installed. Clusters that exist are nobody's business here.
no_cluster=/etc/postgresql-common/createcluster.d/imprint-sync-tests.conf
no_cluster_made=() # folders
no_cluster_on=0

no_cluster_begin() {
    local folder
    no_cluster_on=1
    for folder in /etc/postgresql-common /etc/postgresql-common/createcluster.d; do
        [[ -d $folder ]] || { as_root mkdir -m 755 "$folder"; no_cluster_made=("$folder" "${no_cluster_made[@]}"); }
    done
    echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
    as_root chmod 644 "$no_cluster"
}

no_cluster_end() {
    as_root rm -f "$no_cluster"
    local folder
    for folder in "${no_cluster_made[@]}"; do
        as_root rmdir "$folder" 2>/dev/null || true # not ours alone any more
    done
    no_cluster_made=()
    no_cluster_on=0
}

# Its package starts it; the tests start their own.
pgbouncer_off() {
    if command -v systemctl >/dev/null; then
        as_root systemctl disable --now pgbouncer >/dev/null 2>&1 || true
    fi
}

install_packages() {
    local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600)
    "${apt[@]}" update || return 1
    "${apt[@]}" install --no-install-recommends "$@"
}

setup_packages() {
    local missing tries=0 log
    command -v dpkg-query >/dev/null || fail "packages are installed by apt, on Debian 12; this is another system"
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]} > 0)) || return 0
    command -v apt-get >/dev/null || fail "no apt-get here; please install: ${missing[*]}"
    ((EUID == 0)) || command -v sudo >/dev/null ||
        fail "neither root nor sudo; please install: ${missing[*]}"
    ((EUID == 0)) || sudo -n true 2>/dev/null || sudo -v || fail "sudo refused; please install: ${missing[*]}"

    step "Installing ${#missing[@]} packages"
    log=$work/packages.log
    no_cluster_begin
    # Two runs at once: the other one holds the lock, or has just installed what is missing here.
    until uninterrupted install_packages "${missing[@]}" >"$log" 2>&1; do
        if ((++tries > 60)) || ! grep -Eq 'Could not get lock|Unable to (acquire|lock)' "$log"; then
            fail "apt-get failed" "$log"
        fi
        sleep 5
        no_cluster_begin # the other one has removed the file
    done
    no_cluster_end
    [[ " ${missing[*]} " != *" pgbouncer "* ]] || pgbouncer_off
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]} == 0)) || fail "still missing: ${missing[*]}"
    step_done
}

# promtool alone, out of Debian's package prometheus: that would enable a server, and bring the
# libraries of its web pages. Without a network its tests are skipped, but not in CI.
setup_promtool() {
    local folder=$top/build/tools log=$work/promtool.log
    [[ ! -x $folder/promtool ]] && ! command -v promtool >/dev/null || return 0
    step "Fetching promtool"
    mkdir -p "$folder" "$work/promtool"
    # The package lists may be missing, or older than the archive.
    if fetch_promtool >"$log" 2>&1 ||
        { uninterrupted update_package_lists >>"$log" 2>&1 &&
            fetch_promtool >>"$log" 2>&1; }; then
        mv "$work/promtool/promtool" "$folder/"
        step_done
    elif [[ -n ${CI:-} ]]; then
        fail "no promtool" "$log"
    else
        printf '  not there\n'
        step_open=0
    fi
}

# Any user may; apt checks it against the signed lists, as when it installs.
fetch_promtool() {
    # shellcheck disable=SC2016  # for the inner shell
    patiently bash -c 'cd "$1" && apt-get -q download prometheus &&
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 ./usr/bin/promtool &&
        ./promtool --version' fetch "$work/promtool"
}

update_package_lists() {
    as_root apt-get -q -o DPkg::Lock::Timeout=600 update
}

# --- Build ----------------------------------------------------------------------------------

build_preset() {
    local preset=$1 generator=() werror=OFF
    # A folder configured by hand keeps its generator.
    [[ -e build/$preset/CMakeCache.txt ]] || generator=(-G Ninja)
    [[ -z ${CI:-} ]] || werror=ON
    cmake --preset "$preset" "${generator[@]}" -DIMPRINT_WERROR=$werror \
        -DCMAKE_COMPILE_WARNING_AS_ERROR=$werror && cmake --build --preset "$preset"
}
export -f build_preset

setup_build() {
    local preset log=$work/build.log
    export CMAKE_EXPORT_COMPILE_COMMANDS=ON # for clang-tidy
    if command -v ccache >/dev/null; then
        export CMAKE_C_COMPILER_LAUNCHER=ccache
    fi
    mkdir -p "$top/build"
    for preset in "$@"; do
        step "Building ($preset)"
        # Under a lock, since two runs may share a tree.
        # shellcheck disable=SC2016  # for the inner shell
        patiently flock "$top/build/.lock" bash -c 'cd "$1" && build_preset "$2"' build "$top" \
            "$preset" >"$log" 2>&1 || fail "the build failed" "$log"
        step_done
    done
}

# The path of program NAME of a preset's build.
built() {
    find "$top/build/$1" -name "$2" -type f -perm -u+x | head -1
}

# --- Processes ------------------------------------------------------------------------------

work=
spawned=
children=()      # pids, newest first
child_signals=() # how each is asked to end

setup_work() {
    work=$(mktemp -d "${TMPDIR:-/tmp}/imprint-sync.XXXXXX")
    # The path of a socket has at most 107 bytes.
    if ((${#work} > 60)); then
        rmdir "$work"
        work=$(mktemp -d /tmp/imprint-sync.XXXXXX)
    fi
    # User postgres must get through to its own folder; setup_postgres keeps the rest private.
    ((EUID != 0)) || chmod 711 "$work"
}

# A process that ends with this one even if this one is killed.
setup_spawn() {
    local name=$1 signal=TERM
    shift
    [[ $name != postgres* ]] || signal=INT
    setpriv --pdeathsig "$signal" "$@" >>"$work/$name.log" 2>&1 </dev/null &
    spawned=$!
    children=("$spawned" "${children[@]}")
    child_signals=("$signal" "${child_signals[@]}")
}

# Ends process $1, which this shell started, by signal $2, at last by SIGKILL.
stop_child() {
    local pid=$1 signal=$2 tries
    kill -s "$signal" -- "$pid" 2>/dev/null || return 0
    for ((tries = 0; tries < 150; tries++)); do
        kill -0 -- "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- "$pid" 2>/dev/null || true
    wait "${pid#-}" 2>/dev/null || true
}

cleanup() {
    local i
    trap '' INT TERM HUP
    ((step_open == 0)) || printf '    interrupted\n'
    step_open=0
    [[ -z $patient ]] || stop_child "-$patient" TERM
    for i in "${!children[@]}"; do
        stop_child "${children[i]}" "${child_signals[i]}"
    done
    ((no_cluster_on == 0)) || no_cluster_end
    [[ -z $work || -n ${KEEP_WORK:-} ]] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# bash runs a trap only after the command in the foreground has ended, so commands that take long
# run in the background, as a process group that can be ended as a whole.
patient=
patiently() {
    local status=0
    setsid setpriv --pdeathsig TERM "$@" </dev/null &
    patient=$!
    wait "$patient" || status=$?
    patient=
    return "$status"
}

# The opposite: dpkg must not be stopped half way. A signal counts when the command has ended.
uninterrupted() {
    local interrupted=0 status=0 pid
    trap 'interrupted=130' INT
    trap 'interrupted=143' TERM HUP
    "$@" </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        status=0
        wait "$pid" || status=$?
    done
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    ((interrupted == 0)) || exit "$interrupted"
    return "$status"
}

free_port() {
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Waits until COMMAND succeeds, for at most SECONDS.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

postgres_answers_or_died() {
    psql -X -d postgres -c '' || ! kill -0 "$spawned"
}

# shellcheck disable=SC2120  # settings are rarely given
setup_postgres() {
    local tries
    umask 077 # not earlier: packages and builds are made with the caller's
    export PGHOST=$work/pg PGUSER=postgres PGPORT PGDATABASE=postgres PGAPPNAME=tests
    for ((tries = 0; tries < 5; tries++)); do # another program may get the free port first
        PGPORT=$(free_port)
        setup_spawn postgres "$top/tests/lib/postgres" "$PGHOST" "$PGPORT" "$@"
        wait_for 60 postgres_answers_or_died || break
        ! kill -0 "$spawned" 2>/dev/null || return 0
    done
    fail "the private PostgreSQL did not start" "$work/postgres.log"
}

sandbox_ready_or_died() {
    [[ -s $work/sandbox.port ]] || ! kill -0 "$spawned"
}

# shellcheck disable=SC2034  # sandbox_url is for the caller
setup_sandbox() {
    rm -f "$work/sandbox.port"
    setup_spawn sandbox "$(built release imprint-sandbox)" --port 0 \
        --port-file "$work/sandbox.port" --die-with-parent "$@"
    wait_for 30 sandbox_ready_or_died || fail "the sandbox did not start" "$work/sandbox.log"
    kill -0 "$spawned" 2>/dev/null || fail "the sandbox did not start" "$work/sandbox.log"
    sandbox_url=http://127.0.0.1:$(<"$work/sandbox.port")
}

# --- Saying what happens --------------------------------------------------------------------

step_started=
step_open=0

now_ms() {
    local us=${EPOCHREALTIME/[.,]/}
    echo $((us / 1000))
}

step() {
    step_started=$(now_ms)
    step_open=1
    printf '%-66s' "$* ..."
}

step_done() {
    local ms=$(($(now_ms) - step_started))
    step_open=0
    printf '%9d.%d s\n' $((ms / 1000)) $((ms % 1000 / 100))
}

fail() {
    ((step_open == 0)) || printf '    failed\n'
    step_open=0
    if [[ -n ${2:-} && -s ${2:-} ]]; then
        echo "--- the end of the log:" >&2
        tail -n "${3:-40}" "$2" >&2
        echo "---" >&2
    fi
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 1
}
