#!/bin/sh
# Installs Leukolux as services of a board, or takes it off again.  Twice gives the same as once.
set -eu

PREFIX=/opt/leukolux
SETTINGS=/etc/leukolux/leukolux.toml
DATA=/var/lib/leukolux
UNITS='leukolux leukolux-light leukolux-light-off leukolux-kiosk'
SERIAL_RULES=/etc/udev/rules.d/71-leukolux-stage.rules
JETSON_DROP_IN=/etc/systemd/system/leukolux.service.d/50-jetson.conf

HERE=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

usage() {
    cat <<'END'
Usage: install.sh [OPTIONS]              install, or bring an installation up to date
       install.sh --uninstall [OPTIONS]  take it off; settings, data and users stay

  --board NAME         jetson, pi or generic (the simulated instrument); default: as it looks
  --from PATH          wheel or checkout to install; default: the checkout of this script
  --find-links DIR     take every package from this folder, nothing from the network
  --onnxruntime WHICH  registry (CPU), system (of the board's image), or a wheel;
                       default: system on a Jetson whose image has one, else registry
  --stage-usb IDS      VENDOR:PRODUCT[:SERIAL] of the stage's USB serial port, hexadecimal ids;
                       "detect" takes the only one that is plugged in
  --root DIR           install into another root, such as an image; as root it is entered by chroot
  --no-program         everything but the program itself, which comes in another way
  --python COMMAND     Python 3.11 or newer to build on; default: python3.  With --no-program one
                       that has the program's libraries, to write the settings with
  --no-kiosk           without the built-in screen
  --no-start           do not start anything now
  --dry-run            say what would be done
  --purge --yes        with --uninstall: settings, data and users as well
END
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

BOARD='' FROM=$(dirname -- "$HERE") LINKS='' RUNTIME='' STAGE='' ROOT='' PYTHON=python3
PROGRAM=yes KIOSK=yes START=yes DRY='' UNINSTALL='' PURGE='' YES=''

value() { [ $# -ge 2 ] || fail "$1 needs a value (--help says more)"; }
while [ $# -gt 0 ]; do
    case $1 in
        --board) value "$@"; BOARD=$2; shift ;;
        --from) value "$@"; FROM=$2; shift ;;
        --find-links) value "$@"; LINKS=$2; shift ;;
        --onnxruntime) value "$@"; RUNTIME=$2; shift ;;
        --stage-usb) value "$@"; STAGE=$2; shift ;;
        --root) value "$@"; ROOT=$2; shift ;;
        --python) value "$@"; PYTHON=$2; shift ;;
        --no-program) PROGRAM='' ;;
        --no-kiosk) KIOSK='' ;;
        --no-start) START='' ;;
        --dry-run) DRY=yes ;;
        --uninstall) UNINSTALL=yes ;;
        --purge) PURGE=yes ;;
        --yes) YES=yes ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown option $1 (--help lists them)" ;;
    esac
    shift
done

# What is done -----------------------------------------------------------------------------------

STEP='looking around' NEW_RELEASE='' CHANGED=''

finish() {
    code=$?
    [ "$code" -ne 0 ] || return 0
    if [ -n "$NEW_RELEASE" ]; then
        rm -rf "$ROOT$NEW_RELEASE"
    fi
    printf 'install.sh: it failed while %s.\n' "$STEP" >&2
    if [ -z "$CHANGED" ]; then
        say 'install.sh: nothing was changed; mend that and run it again.' >&2
    elif [ -n "$UNINSTALL" ]; then
        say 'install.sh: mend that and run it again: it goes on where it stopped.' >&2
    else
        say 'install.sh: mend that and run it again: it goes on where it stopped.' >&2
        say 'install.sh: --uninstall takes off what is there; settings and data stay.' >&2
    fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

run() {
    if [ -n "$DRY" ]; then say "would run: $*"; else "$@"; fi
}

# Run in the root that is installed to.
in_root() {
    if [ -n "$ROOT" ]; then set -- chroot "$ROOT" "$@"; fi
    run "$@"
}

is_root() { [ "$(id -u)" -eq 0 ]; }

# Copy a file so that a reader sees the old one or the new one, whole: SOURCE DESTINATION MODE.
put() {
    if cmp -s "$1" "$ROOT$2"; then return 0; fi
    if [ -n "$DRY" ]; then say "would write: $2"; return 0; fi
    CHANGED=yes
    mkdir -p "$(dirname -- "$ROOT$2")"
    cp -- "$1" "$ROOT$2.new"
    chmod "$3" "$ROOT$2.new"
    mv -f -- "$ROOT$2.new" "$ROOT$2"
}

take_off() {
    if [ ! -e "$ROOT$1" ] && [ ! -L "$ROOT$1" ]; then return 0; fi
    if [ -n "$DRY" ]; then say "would remove: $1"; else rm -rf -- "$ROOT$1"; fi
}

# Source, destination and mode of every file that does not depend on the board.
files() {
    for unit in $UNITS; do
        echo "units/$unit.service /etc/systemd/system/$unit.service 644"
    done
    echo 'udev/70-leukolux.rules /etc/udev/rules.d/70-leukolux.rules 644'
    for kind in sysusers.d tmpfiles.d modules-load.d; do
        echo "$kind/leukolux.conf /etc/$kind/leukolux.conf 644"
    done
    echo "kiosk $PREFIX/kiosk 755"
    echo "../docs/pages/builder/board.md $PREFIX/README.md 644"
}

systemd_runs() { [ -z "$ROOT" ] && [ -d /run/systemd/system ]; }
udev_runs() { [ -z "$ROOT" ] && [ -e /run/udev/control ]; }

# Enabling is a matter of links, and works without a running systemd.
set_links() {
    if ! command -v systemctl >/dev/null; then
        say "there is no systemctl: enable $1 in the image"
    elif [ -n "$ROOT" ]; then
        run systemctl --quiet --root="$ROOT" "$2" "$1.service"
    else
        run systemctl --quiet "$2" "$1.service"
    fi
}

# Looking around ---------------------------------------------------------------------------------

find_board() {
    if [ -n "$BOARD" ]; then
        case $BOARD in
            jetson | pi | generic) return 0 ;;
            *) fail "there is no board $BOARD: jetson, pi or generic" ;;
        esac
    fi
    BOARD=generic
    if [ -e "$ROOT/etc/nv_tegra_release" ]; then
        BOARD=jetson
    elif [ -z "$ROOT" ] && grep -qs 'Raspberry Pi' /proc/device-tree/model; then
        BOARD=pi
    fi
}

check_source() {
    [ -e "$FROM" ] || fail "$FROM is not there"
    FROM=$(CDPATH='' cd -- "$(dirname -- "$FROM")" && pwd)/$(basename -- "$FROM")
    case $FROM in
        *.whl) ;;
        *) [ -f "$FROM/pyproject.toml" ] || fail "$FROM is neither a wheel nor a checkout" ;;
    esac
    if [ -n "$LINKS" ]; then
        [ -d "$LINKS" ] || fail "$LINKS is not a folder"
        LINKS=$(CDPATH='' cd -- "$LINKS" && pwd)
    fi
}

check_python() {
    STEP='looking for Python'
    [ -z "$DRY" ] || return 0
    # Without the program it is this computer's Python, which writes the settings.
    if [ -n "$PROGRAM" ]; then enter=in_root; else enter=''; fi
    $enter "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$PYTHON is missing or older than 3.11"
    if [ -n "$PROGRAM" ]; then
        in_root "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
            fail 'Python has no venv (Debian, Ubuntu: apt-get install python3-venv)'
    fi
}

# A run that is under way is worth more than a new version.
check_idle() {
    systemd_runs && systemctl --quiet is-active leukolux.service || return 0
    doing=$(systemctl show --property=StatusText --value leukolux.service 2>/dev/null || true)
    case $doing in
        preparing* | scanning* | paus* | finishing* | aborting*)
            fail "a run is under way ($doing); wait for its end, or abort it" ;;
    esac
}

# Which onnxruntime: a wheel of both names would own the same module, so there is only one.
find_runtime() {
    case $RUNTIME in
        registry | system) return 0 ;;
        *.whl)
            [ -f "$RUNTIME" ] || fail "$RUNTIME is not there"
            return 0 ;;
        '') ;;
        *) fail "--onnxruntime takes registry, system or a wheel, not $RUNTIME" ;;
    esac
    RUNTIME=registry
    if [ "$BOARD" = jetson ] && [ -z "$DRY" ]; then
        if in_root "$PYTHON" -c 'import onnxruntime' 2>/dev/null; then
            RUNTIME=system
        else
            say 'the image has no onnxruntime: the CPU runs the networks (README.md: Jetson)'
        fi
    fi
}

find_stage() {
    [ -n "$STAGE" ] || return 0
    if [ "$STAGE" = detect ]; then
        STEP='looking for the serial port of the stage'
        found=''
        for device in /dev/ttyACM* /dev/ttyUSB*; do
            [ -e "$device" ] || continue
            [ -z "$found" ] || fail "there is more than one serial port: $found, $device"
            found=$device
        done
        [ -n "$found" ] || fail 'there is no USB serial port; plug the stage in'
        properties=$(udevadm info --query=property --name="$found")
        STAGE=$(printf '%s\n' "$properties" | sed -n \
            -e 's/^ID_VENDOR_ID=/1 /p' -e 's/^ID_MODEL_ID=/2 /p' -e 's/^ID_SERIAL_SHORT=/3 /p' |
            sort | cut -d' ' -f2- | paste -s -d: -)
        say "the stage is at $found: $STAGE"
    fi
    printf '%s\n' "$STAGE" | grep -Eq '^[0-9a-f]{4}:[0-9a-f]{4}(:[A-Za-z0-9._-]+)?$' ||
        fail "--stage-usb $STAGE is not VENDOR:PRODUCT[:SERIAL], such as 2341:0043:75833353035351"
}

# The program ------------------------------------------------------------------------------------

fingerprint() {
    {
        echo "$BOARD $RUNTIME"
        case $FROM in
            *.whl) sha256sum <"$FROM" ;;
            *)
                cd -- "$FROM"
                find device hal models webui pyproject.toml -type f ! -name '*.pyc' |
                    LC_ALL=C sort | tr '\n' '\0' | xargs -0 sha256sum ;;
        esac
    } | sha256sum | cut -c1-12
}

extras() {
    case $BOARD in
        jetson) echo genicam,apt,jetson ;;
        pi) echo genicam,apt,pi ;;
        *) echo ;;
    esac
}

pip() {
    in_root "$RELEASE/bin/python" -m pip --quiet --disable-pip-version-check "$@"
}

# pip install from the folder of packages, if there is one.
pip_install() {
    if [ -n "$LINKS" ]; then set -- --no-index --find-links "$RELEASE/packages" "$@"; fi
    pip install "$@"
}

# Everything that the program needs but onnxruntime, which comes from elsewhere.
other_requirements() {
    in_root "$RELEASE/bin/python" - "$(extras)" <<'END'
import re
import sys
from importlib.metadata import requires

wanted = set(sys.argv[1].split(","))
for line in requires("leukolux") or []:
    requirement, _, marker = line.partition(";")
    extra = re.search(r"""extra\s*==\s*["'](.+?)["']""", marker)
    name = re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0].lower()
    if name != "onnxruntime" and (extra is None or extra[1] in wanted):
        print(requirement.strip())
END
}

# One onnxruntime, at most one RPi.GPIO, and networks that answer as they did when they were made.
check_program() {
    in_root "$RELEASE/bin/python" - <<'END'
from importlib.metadata import distributions

names = {(d.metadata["Name"] or "").lower().replace("_", "-") for d in distributions()}
runtimes = sorted(n for n in names if n in {"onnxruntime", "onnxruntime-gpu"})
lines = sorted(n for n in names if n in {"rpi.gpio", "jetson.gpio", "rpi-lgpio", "rpi-gpio"})
if len(runtimes) > 1 or len(lines) > 1:
    raise SystemExit(f"two packages own one module: {runtimes}, {lines}; remove one of them")
import onnxruntime

print(f"onnxruntime {onnxruntime.__version__}: {', '.join(onnxruntime.get_available_providers())}")
END
    in_root "$RELEASE/bin/leukolux" models verify --provider cpu
}

install_program() {
    STEP='reading the program'
    RELEASE=$PREFIX/releases/$(fingerprint)
    if [ -e "$ROOT$RELEASE/.complete" ]; then
        say "the program is there already: $RELEASE"
        return 0
    fi
    STEP='installing the program'
    if [ -n "$DRY" ]; then
        say "would install the program to $RELEASE: $FROM [$(extras)], onnxruntime: $RUNTIME"
        return 0
    fi
    NEW_RELEASE=$RELEASE
    rm -rf "$ROOT$RELEASE"
    mkdir -p "$ROOT$RELEASE/source"
    case $FROM in
        *.whl)
            cp -- "$FROM" "$ROOT$RELEASE/source/"
            package=$RELEASE/source/$(basename -- "$FROM") ;;
        *)
            (cd -- "$FROM" && cp -R -- device hal models webui pyproject.toml README.md LICENSE \
                "$ROOT$RELEASE/source/")
            package=$RELEASE/source ;;
    esac
    if [ -n "$LINKS" ]; then cp -R -- "$LINKS" "$ROOT$RELEASE/packages"; fi
    say "installing the program to $RELEASE: minutes"
    if [ "$RUNTIME" = system ]; then
        in_root "$PYTHON" -m venv --system-site-packages "$RELEASE"
    else
        in_root "$PYTHON" -m venv "$RELEASE"
    fi
    wanted=$(extras)
    if [ "$RUNTIME" = registry ]; then
        pip_install "$package${wanted:+[$wanted]}"
    else
        pip_install --no-deps "$package"
        if [ "$RUNTIME" != system ]; then
            cp -- "$RUNTIME" "$ROOT$RELEASE/source/"
            pip_install "$RELEASE/source/$(basename -- "$RUNTIME")"
        fi
        other_requirements >"$ROOT$RELEASE/requirements.txt"
        pip_install --requirement "$RELEASE/requirements.txt"
    fi
    STEP='checking the program'
    check_program
    rm -rf -- "$ROOT$RELEASE/packages" "$ROOT$RELEASE/source"
    touch "$ROOT$RELEASE/.complete"
}

switch_program() {
    STEP='switching to the new program'
    current=$(readlink "$ROOT$PREFIX/current" || true)
    if [ "$current" = "releases/${RELEASE##*/}" ]; then return 0; fi
    if [ -n "$DRY" ]; then say "would switch $PREFIX/current to $RELEASE"; return 0; fi
    CHANGED=yes
    ln -sfn "releases/${RELEASE##*/}" "$ROOT$PREFIX/current.new"
    mv -Tf -- "$ROOT$PREFIX/current.new" "$ROOT$PREFIX/current"
    # The one before stays, to go back to by its link.
    for old in "$ROOT$PREFIX"/releases/*; do
        case $old in
            */"${RELEASE##*/}" | "$ROOT$PREFIX/$current") ;;
            *) rm -rf -- "$old" ;;
        esac
    done
}

# Settings, users, files -------------------------------------------------------------------------

program() {
    if [ -n "$PROGRAM" ]; then
        in_root "$RELEASE/bin/leukolux" "$@"
    else
        run env PYTHONPATH="$FROM" "$PYTHON" -c 'from webui.cli.main import main; main()' "$@"
    fi
}

# Settings that a new version does not take stop the installation before anything is switched.
check_settings() {
    [ -e "$ROOT$SETTINGS" ] || return 0
    STEP='checking the settings'
    if [ -n "$PROGRAM" ]; then path=$SETTINGS; else path=$ROOT$SETTINGS; fi
    program settings --settings "$path" >/dev/null
}

write_settings() {
    if [ -e "$ROOT$SETTINGS" ]; then
        say "the settings stay as they are: $SETTINGS"
        return 0
    fi
    STEP='writing the settings'
    if [ -n "$DRY" ]; then say "would write: $SETTINGS"; return 0; fi
    CHANGED=yes
    mkdir -p "$ROOT/etc/leukolux"
    if [ -n "$PROGRAM" ]; then
        cp -- "$HERE/boards/$BOARD.toml" "$ROOT$RELEASE/board.toml"
        program settings --settings "$RELEASE/board.toml" >"$ROOT$SETTINGS.new"
        rm -f -- "$ROOT$RELEASE/board.toml"
    else
        program settings --settings "$HERE/boards/$BOARD.toml" >"$ROOT$SETTINGS.new"
    fi
    chmod 640 "$ROOT$SETTINGS.new"
    mv -f -- "$ROOT$SETTINGS.new" "$ROOT$SETTINGS"
}

make_users() {
    STEP='making the users'
    if ! is_root; then
        say 'without root rights no users are made: run systemd-sysusers in the new root'
    else
        in_root systemd-sysusers leukolux.conf
        # A token of the network may stand in the settings.
        in_root chgrp leukolux /etc/leukolux "$SETTINGS"
        run chmod 750 "$ROOT/etc/leukolux"
    fi
}

write_stage_rules() {
    [ -n "$STAGE" ] || return 0
    serial=$(printf '%s\n' "$STAGE" | cut -d: -f3)
    rules=$(mktemp)
    sed -e "s/@VENDOR@/$(printf '%s\n' "$STAGE" | cut -d: -f1)/" \
        -e "s/@PRODUCT@/$(printf '%s\n' "$STAGE" | cut -d: -f2)/" \
        -e "s/@SERIAL@/${serial:-*}/" -e 's/@NAME@/leukolux-stage/' \
        "$HERE/udev/71-leukolux-stage.rules.in" >"$rules"
    put "$rules" "$SERIAL_RULES" 644
    rm -f -- "$rules"
}

write_files() {
    STEP='writing units and rules'
    [ -n "$DRY" ] || CHANGED=yes
    files | while read -r source destination mode; do
        put "$HERE/$source" "$destination" "$mode"
    done
    if [ "$BOARD" = jetson ]; then
        put "$HERE/boards/jetson.conf" "$JETSON_DROP_IN" 644
    else
        take_off "$JETSON_DROP_IN"
    fi
    write_stage_rules
}

enable_units() {
    STEP='enabling the services'
    set_links leukolux enable
    # A simulated light has its supervisor inside.
    if [ "$BOARD" = generic ]; then
        set_links leukolux-light disable
    else
        set_links leukolux-light enable
    fi
    if [ -n "$KIOSK" ]; then set_links leukolux-kiosk enable; else set_links leukolux-kiosk disable; fi
}

# The screen's unit waits quietly for cage.
check_screen() {
    if [ -n "$KIOSK" ] && [ ! -x "$ROOT/usr/bin/cage" ]; then
        say 'there is no cage: the screen stays dark (apt-get install cage seatd xwayland chromium)'
    fi
}

start_units() {
    systemd_runs || return 0
    STEP='telling systemd and udev'
    run systemctl daemon-reload
    run systemctl restart systemd-modules-load.service || say 'a driver of serial ports is missing'
    run systemd-tmpfiles --create leukolux.conf
    if udev_runs; then
        run udevadm control --reload
        run udevadm trigger --subsystem-match=tty --subsystem-match=usb --subsystem-match=gpio
        run udevadm settle --timeout=30
    fi
    [ -n "$START" ] || return 0
    STEP='starting the services'
    if [ "$BOARD" != generic ]; then run systemctl restart leukolux-light.service; fi
    run systemctl restart leukolux.service
    if [ -n "$KIOSK" ]; then run systemctl try-restart leukolux-kiosk.service; fi
}

# ------------------------------------------------------------------------------------------------

done_saying() {
    if [ -n "$DRY" ]; then say 'nothing was changed: that is what would be done'; else say "$1"; fi
}

install_all() {
    find_board
    check_source
    check_idle
    check_python
    find_stage
    if [ -n "$PROGRAM" ]; then
        find_runtime
        install_program
    fi
    check_settings
    write_files
    write_settings
    make_users
    if [ -n "$PROGRAM" ]; then
        switch_program
        NEW_RELEASE=''
    fi
    enable_units
    check_screen
    start_units
    done_saying "Leukolux is installed for the board $BOARD; settings: $SETTINGS"
}

uninstall() {
    if [ -n "$PURGE" ] && [ -z "$YES" ]; then
        fail '--purge removes every result in '"$DATA"'; say --yes as well'
    fi
    check_idle
    STEP='stopping the services'
    [ -n "$DRY" ] || CHANGED=yes
    for unit in leukolux-kiosk leukolux leukolux-light; do
        [ -e "$ROOT/etc/systemd/system/$unit.service" ] || continue
        if systemd_runs; then run systemctl stop "$unit.service"; fi
        set_links "$unit" disable
    done
    STEP='removing files'
    files | while read -r _ destination _; do take_off "$destination"; done
    take_off "$SERIAL_RULES"
    take_off "$JETSON_DROP_IN"
    if [ -z "$DRY" ]; then
        rmdir "$ROOT$(dirname -- "$JETSON_DROP_IN")" 2>/dev/null || true
    fi
    take_off "$PREFIX"
    if systemd_runs; then
        run systemctl daemon-reload
        for unit in $UNITS; do systemctl reset-failed "$unit.service" 2>/dev/null || true; done
        if udev_runs; then run udevadm control --reload; fi
    fi
    if [ -z "$PURGE" ]; then
        done_saying "Leukolux is taken off; what stays: /etc/leukolux, $DATA, the users"
        return 0
    fi
    STEP='removing settings, data and users'
    take_off /etc/leukolux
    take_off "$DATA"
    take_off /var/cache/leukolux
    if is_root; then
        for user in leukolux leukolux-kiosk; do
            if grep -qs "^$user:" "$ROOT/etc/passwd"; then in_root userdel "$user"; fi
        done
    fi
    done_saying 'Leukolux is taken off with its settings, data and users'
}

if [ -n "$ROOT" ]; then
    [ -d "$ROOT" ] || fail "$ROOT is not a folder"
    ROOT=$(CDPATH='' cd -- "$ROOT" && pwd)
    [ "$ROOT" != / ] || ROOT=''
fi
if [ -z "$ROOT" ] && [ -z "$DRY" ]; then
    is_root || fail 'run it as root (or say --root DIR, or --dry-run)'
fi
if [ -n "$UNINSTALL" ]; then uninstall; else install_all; fi
