# What the scripts of this folder share: saying what they do, doing it or not (--dry-run), and
# asking Redis nodes. Sourced, not run.

STACK=${STACK:-redis}
DRY_RUN=${DRY_RUN:-no}
NODES=${NODES:-"redis-1 redis-2 redis-3 redis-4 redis-5 redis-6"}
export STACK

say() { printf '>> %s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }
# Ends with what a script says of itself at its top when --help is among its words. The first thing
# a script does: whoever asks what a script is for does not want it to do that.
answer_help() {
    for word in "$@"; do
        case "$word" in
            -h | --help)
                sed -n '2,/^[^#]/s/^# \{0,1\}//p' "swarm/$(basename "$0")"
                exit 0
                ;;
        esac
    done
}
# Ends when a word is no file to lay over the stack: an option in the wrong place, or a slip.
need_files() {
    for word in "$@"; do
        case "$word" in -*) die "there is no option $word here; --help tells what there is" ;; esac
        [ -f "$word" ] || die "there is no file $word; --help tells what is expected"
    done
}
# Runs what changes something; with a dry run only tells of it.
act() {
    if [ "$DRY_RUN" = yes ]; then
        say "would run: $*"
    else
        say "$*"
        "$@"
    fi
}

is_service() { docker service inspect "${STACK}_$1" >/dev/null 2>&1; }

# The container of a Redis service on this host, nothing where there is none.
container() {
    docker ps -q --filter "label=com.docker.swarm.service.name=${STACK}_$1" \
        --filter status=running | head -1
}

# A container on this host that has the client in it, and reaches all nodes by name.
any_container() {
    for name in $NODES; do
        found=$(container "$name")
        if [ -n "$found" ]; then
            printf '%s\n' "$found"
            return
        fi
    done
    die "no Redis node of stack $STACK runs on this host; run this where one does"
}

# in_node SECONDS WORD…: the client of the image with these words, so long at most. The password is
# that of the container, or the one in REDISCLI_AUTH; it is on no command line.
in_node() {
    # shellcheck disable=SC2016 # for the shell in the container
    docker exec -i ${REDISCLI_AUTH:+-e REDISCLI_AUTH} "$(any_container)" sh -c '
        cli=$(command -v valkey-cli || command -v redis-cli)
        export REDISCLI_AUTH="${REDISCLI_AUTH:-$(cat /run/secrets/redis_password)}"
        limit=$1; shift
        exec timeout "$limit" "$cli" "$@"' sh "$@"
}

# cli NODE WORD…: one command.
cli() {
    name=$1
    shift
    in_node 10 -h "$name" "$@" < /dev/null
}

# cli_lines NODE: the commands on standard input, for what nobody should see in a list of processes.
cli_lines() { in_node 10 -h "$1"; }

# One field of INFO.
info() { cli "$1" info "$2" 2>/dev/null | tr -d '\r' | sed -n "s/^$3://p"; }
role() { info "$1" replication role; }

# Whether a node serves: it says that the cluster is ok, a replica that its master is there.
is_well() {
    [ "$(cli "$1" cluster info 2>/dev/null | tr -d '\r' | sed -n 's/^cluster_state://p')" = ok ] || return 1
    case "$(role "$1")" in
        master) ;;
        slave) [ "$(info "$1" replication master_link_status)" = up ] || return 1 ;;
        *) return 1 ;;
    esac
}

# Whether all nodes serve, and every master has a replica that is up to date.
is_whole() {
    for name in $NODES; do
        is_well "$name" || return 1
        if [ "$(role "$name")" = master ]; then
            cli "$name" info replication 2>/dev/null | grep -q 'state=online' || return 1
        fi
    done
    ! cli "${NODES%% *}" cluster nodes 2>/dev/null | grep -qE 'fail|handshake|noaddr'
}

# wait_for SECONDS WHAT COMMAND…: asks once a second.
wait_for() {
    limit=$1 what=$2
    shift 2
    if [ "$DRY_RUN" = yes ]; then
        say "would wait until $what"
        return
    fi
    until "$@"; do
        limit=$((limit - 1))
        [ "$limit" -gt 0 ] || die "gave up waiting until $what"
        sleep 1
    done
}

# The first letters of the hash of a file, for names of configs and secrets.
hash_of() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum < "$1" | cut -c 1-12
    else
        shasum -a 256 < "$1" | cut -c 1-12
    fi
}

# Reads the names of configs with their files: lines of VARIABLE, DEFAULT, FILE.
stamps() {
    awk -v dir="$(dirname "$1")" '
        / name: .*_HASH:-/ {
            variable = $0; sub(/.*\$\{/, "", variable); value = variable
            sub(/:-.*/, "", variable); sub(/.*:-/, "", value); sub(/\}.*/, "", value)
        }
        / file: / && variable != "" {
            file = $2; sub(/^.*:-/, "", file); sub(/\}$/, "", file); sub(/^\.\//, "", file)
            print variable, value, dir "/" file; variable = ""
        }' "$1"
}

# The files of both passwords, of the nodes and of clients: those that the variables name, or those
# that swarm/deploy makes.
name_passwords() {
    REDIS_PASSWORD_FILE=${REDIS_PASSWORD_FILE:-swarm/local/redis-password}
    CLIENT_PASSWORD_FILE=${CLIENT_PASSWORD_FILE:-swarm/local/client-password}
    case "$REDIS_PASSWORD_FILE" in /*) ;; *) REDIS_PASSWORD_FILE=$PWD/$REDIS_PASSWORD_FILE ;; esac
    case "$CLIENT_PASSWORD_FILE" in /*) ;; *) CLIENT_PASSWORD_FILE=$PWD/$CLIENT_PASSWORD_FILE ;; esac
    export REDIS_PASSWORD_FILE CLIENT_PASSWORD_FILE
}

# A password at random, 32 bytes, into a file that nobody else reads.
make_password() {
    (
        umask 077
        mkdir -p "$(dirname "$1")"
        od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$1.part"
        [ "$(wc -c < "$1.part")" -eq 64 ] || die "/dev/urandom gave no password"
        mv "$1.part" "$1"
    )
}

# The name of the secret that a service of the running stack has for a password (redis, client).
secret_of() {
    docker service inspect "${STACK}_$1" --format \
        '{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{println .SecretName}}{{end}}' \
        2>/dev/null | grep -e "-$2-password-" || true
}

# make_missing KIND SERVICE WHOSE: the file of a password, where none is named and none is there. A
# service of the running stack that has one already would not know the new one. What is said is
# not for eval.
make_missing() {
    case "$1" in
        redis) file=${REDIS_PASSWORD_FILE:-} ;;
        *) file=${CLIENT_PASSWORD_FILE:-} ;;
    esac
    [ -z "$file" ] || return 0
    file=swarm/local/$1-password
    if [ ! -s "$file" ]; then
        in_use=$(secret_of "$2" "$1")
        [ -z "$in_use" ] || die "the stack has a password of $3 ($in_use) that is not in $file here; \
copy it from where it was deployed, or replace it: swarm/rotate-password --help"
        say "making a password of $3: $file (cat shows it; keep the file)" >&2
        [ "$DRY_RUN" = no ] || file=$scratch/$1-password
        make_password "$file"
    fi
    case "$1" in
        redis) REDIS_PASSWORD_FILE=$file ;;
        *) CLIENT_PASSWORD_FILE=$file ;;
    esac
}

# Puts the hashes of all files into the environment, for `docker stack`.
export_hashes() {
    name_passwords
    for file in "$REDIS_PASSWORD_FILE" "$CLIENT_PASSWORD_FILE"; do
        [ -s "$file" ] || die "there is no password in $file; swarm/deploy makes those that are missing"
    done
    REDIS_PASSWORD_HASH=$(hash_of "$REDIS_PASSWORD_FILE")
    CLIENT_PASSWORD_HASH=$(hash_of "$CLIENT_PASSWORD_FILE")
    export REDIS_PASSWORD_HASH CLIENT_PASSWORD_HASH
    for file in "$@"; do
        stamps "$file" > "$scratch/stamps"
        while read -r variable _ path; do
            export "$variable=$(hash_of "$path")"
        done < "$scratch/stamps"
    done
}

# The stack with only some of its services: `docker stack deploy` leaves the others alone.
only_services() {
    awk -v wanted=" $* " '
        /^[a-z]/ { section = $1 }
        section == "services:" && /^  [^ ]/ {
            name = $1; sub(/:$/, "", name); keep = index(wanted, " " name " ") > 0
        }
        section != "services:" || /^services:/ || keep { print }'
}

# deploy_only "SERVICE…" FILE…: brings these services up to the stack files, and waits for them.
deploy_only() {
    chosen=$1 files=
    shift
    for file in "$@"; do
        files="$files -c $file"
    done
    # shellcheck disable=SC2086 # words on purpose
    docker stack config $files | only_services $chosen | sed 's/\$/$$/g' > "$scratch/part.yml"
    act docker stack deploy --quiet --detach=false --resolve-image "${RESOLVE_IMAGE:-changed}" \
        -c "$scratch/part.yml" "$STACK"
}

# Where a node of the cluster is, its id, and the names of the replicas of a master.
address() { docker exec "$(any_container)" getent hosts "$1" | awk '{ print $1; exit }'; }
id_of() { cli "$1" cluster myid | tr -d '\r"'; }
replicas_of() {
    cli "$1" cluster replicas "$(id_of "$1")" | tr -d '\r' | sed -n 's/^[^,]*,\([^, ]*\).*/\1/p'
}
is_role() { [ "$(role "$1")" = "$2" ]; }
