# Sourced by demo, test and run. `provide demo` or `provide test` puts on this machine what that command needs:
# system packages (apt-get), a virtual environment in .venv (PyPI), a /dev/fuse that opens.
#
# Each thing is looked for before it is installed: where all is there, nothing is written and the network is not used.

repo=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
venv=$repo/.venv
PATH=$PATH:/usr/sbin:/sbin # Debian gives them to root's login shells only
trap 'exit 130' INT         # also where the interrupted apt-get or pip ends as if it had failed

say() { printf 'cdbfs: %s\n' "$*" >&2; }
die() {
    say "$@"
    exit 1
}

# A set-up command, quiet unless it fails: what it wrote is then in $output.
quietly() { output=$("$@" 2>&1 </dev/null); }
show_output() { printf '%s\n' "$output" | tail -n 20 >&2; }

# Runs a command so that a trap can pass signals on to $child at once; bash would wait for its end first.
run() {
    local status
    env --default-signal=INT,QUIT "$@" <&0 & # what bash starts with & ignores these two, and reads nothing
    child=$!
    while
        wait "$child"
        status=$?
        kill -0 "$child" 2>/dev/null # still there: a trap interrupted the wait
    do :; done
    return "$status"
}

may_be_root() {
    ((EUID == 0)) && return
    command -v sudo >/dev/null || return
    sudo -n true 2>/dev/null && return
    { : </dev/tty; } 2>/dev/null && sudo -v # a terminal to ask for the password on
}

as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }

# ---- system packages

# need PACKAGE USE CHECK...: notes a package of Debian's, and what it is for, unless the check succeeds.
need() {
    local package=$1 use=$2
    shift 2
    [[ " ${missing[*]} " == *" $package "* ]] && return
    "$@" >/dev/null 2>&1 && return
    missing+=("$package")
    uses+=("$package ($use)")
}

has() { command -v "$1"; }
has_certificates() { compgen -G '/etc/ssl/certs/*'; }
# As the bindings find them: mfusepy fuse3, which is libfuse 3, and fusepy fuse, which is libfuse 2.
has_libfuse() { "$python" -c 'import sys, ctypes.util as u; sys.exit(not u.find_library(sys.argv[1]))' "$1"; }
can_mount() { { has_libfuse fuse3 && has fusermount3; } || { has_libfuse fuse && has fusermount; }; }
has_data_table() { Rscript --vanilla -e 'quit(status = !requireNamespace("data.table", quietly = TRUE))'; }

# A Python of at least 3.9 that can make virtual environments: the caller's, else the system's.
find_python() {
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))' 2>/dev/null && return
    done
    return 1
}

look_for_packages() { # demo|test
    missing=() uses=()
    need python3 "cdbfs itself" has python3
    need python3-venv "for .venv" find_python
    need ca-certificates "to reach PyPI" has_certificates
    need fuse3 "to mount" can_mount
    if [[ $1 == test ]]; then
        need fuse3 "to test libfuse 3" has_libfuse fuse3
        need fuse3 "to test libfuse 3" has fusermount3
        need libfuse2 "to test libfuse 2" has_libfuse fuse # where it is called libfuse2t64, that provides this name
        need util-linux "to test as an ordinary user" has setpriv
        need mount "to test mounts" has mount
        need procps "to test processes" has ps
        need rsync "to test copying" has rsync
        need unzip "to test packages" has unzip
        need vim "to test editors" has vim
        need nano "to test editors" has nano
        need git "to test queries kept in git" has git
        need patch "to test tools that write" has patch
        need openssl "to test TLS" has openssl
        need libxml2-utils "to test XML: xmllint" has xmllint
        need r-base-core "to test reading in R" has Rscript
        need r-cran-data.table "to test reading in R" has_data_table
    fi
}

apt() {
    quietly as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600 "$@"
}

provide_packages() { # demo|test
    local install tries=0 update=
    look_for_packages "$1"
    ((${#missing[@]})) || return 0
    has apt-get >/dev/null ||
        die "missing here (by Debian's names): ${missing[*]}. Without apt-get, please install them in this system's own way"
    install="install -y --no-install-recommends ${missing[*]}"
    may_be_root ||
        die "missing here: ${missing[*]}. This user cannot sudo: an administrator must run: apt-get update && apt-get $install"
    say "apt-get installs what is missing: $(printf '%s, ' "${uses[@]}" | sed 's/, $//')"
    if compgen -G '/var/lib/dpkg/updates/[0-9]*' >/dev/null; then # left by an interrupted run; apt-get would refuse
        quietly as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a
    fi
    # A machine just started refreshes its lists itself; apt-get waits for dpkg's lock, but not for that of the lists.
    until apt update || [[ $output != *'Could not get lock'* ]] || ((++tries > 60)); do sleep 5; done
    update=$output
    # shellcheck disable=SC2086 # words of our own
    if ! apt $install; then
        output=$update$'\n'$output
        show_output
        die "apt-get failed: see above"
    fi
    hash -r
    look_for_packages "$1"
    ((${#missing[@]})) || return 0
    if [[ " ${missing[*]} " == *' python3-venv '* ]]; then
        die "Python 3.9 or newer with venv and ensurepip is needed; here is $(python3 --version 2>&1 | tail -n 1)"
    fi
    die "apt-get installed ${missing[*]}, which still cannot be found: something else stands in its place, perhaps in PATH"
}

# ---- the virtual environment

# What the environment was made for; changed, it is made anew. A checkout may move, and Python be upgraded.
fingerprint() { printf '%s\n' "$(sha256sum <"$repo/pyproject.toml")" "$repo" "$(readlink -f "$venv/bin/python")"; }

is_set_up() { # demo|test
    [[ -x $venv/bin/python && -f $venv/set-up-$1 && ! -e $venv/unfinished &&
        $(<"$venv/set-up-$1") == "$(fingerprint)" ]]
}

pip() { PIP_USER=0 quietly "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }

set_up_venv() { # demo|test
    local extra=$1 created=
    is_set_up "$extra" && return # by another run, while this one waited for the lock
    if [[ -e $venv ]] && { [[ -e $venv/unfinished ]] || ! pip --version; }; then
        say "making .venv anew: it is incomplete, or its Python is gone"
        rm -rf "$venv"
    fi
    if [[ ! -e $venv ]]; then
        created=yes
        mkdir "$venv" && touch "$venv/unfinished" || return
        if ! quietly "$python" -m venv "$venv"; then
            show_output
            die "python3 -m venv failed: see above"
        fi
    fi
    say "installing cdbfs and what it needs from PyPI into $venv"
    touch "$venv/unfinished" && rm -f "$venv"/set-up-* || return
    cd "$repo" || return
    if ! "$venv/bin/python" -c 'import pip, sys; sys.exit([*map(int, pip.__version__.split(".")[:2])] < [21, 3])'; then
        pip install --quiet --upgrade 'pip>=21.3' # older ones cannot install a pyproject.toml with -e
    fi
    if ! pip install --quiet -e ".[$extra]"; then
        [[ $created ]] || rm -f "$venv/unfinished" # pip put back what was there
        show_output
        die "pip failed: see above"
    fi
    fingerprint >"$venv/set-up-demo"
    if [[ $extra == test ]]; then fingerprint >"$venv/set-up-test"; fi
    rm -f "$venv/unfinished"
}

provide_venv() { # demo|test
    is_set_up "$1" && return
    if [[ -e $venv ]]; then
        [[ -w $venv ]] || die "cannot write to $venv, the virtual environment: please make a checkout of your own"
    else
        [[ -w $repo ]] || die "cannot write to $repo, where .venv must go: please make a checkout of your own"
    fi
    (flock 9 && set_up_venv "$1") 9<"$repo" || exit 1
}

# ---- /dev/fuse

fuse_opens() { [[ -c /dev/fuse ]] && (: <>/dev/fuse) 2>/dev/null; }

provide_fuse() {
    if [[ ! -e /etc/mtab ]] && may_be_root; then # no system booted here; fusermount3 -u would refuse ordinary users
        say "making /etc/mtab a link to /proc/self/mounts, as systemd and Docker do"
        as_root ln -sf ../proc/self/mounts /etc/mtab
    fi
    fuse_opens && return
    if [[ ! -c /dev/fuse || (-r /dev/fuse && -w /dev/fuse) ]] && has modprobe >/dev/null && may_be_root; then
        quietly as_root modprobe fuse
        fuse_opens && return
    fi
    [[ -c /dev/fuse ]] ||
        die "there is no /dev/fuse: load the kernel's fuse module; in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN"
    if ((EUID)) && [[ ! -r /dev/fuse || ! -w /dev/fuse ]]; then
        may_be_root || die "/dev/fuse is closed to this user, who cannot sudo: an administrator must run: chmod 0666 /dev/fuse"
        say "opening /dev/fuse to all users (chmod 0666), as Debian's and Ubuntu's udev rule does"
        as_root chmod 0666 /dev/fuse
        fuse_opens && return
    fi
    die "/dev/fuse does not open: $( (: <>/dev/fuse) 2>&1 | sed 's/.*: //'). In a container, start it with --device /dev/fuse --cap-add SYS_ADMIN"
}

provide() { # demo|test
    provide_packages "$1"
    provide_venv "$1"
    provide_fuse
}
